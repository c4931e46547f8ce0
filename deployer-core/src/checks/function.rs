//! A check from a closure.

use std::fmt;

use async_trait::async_trait;

use crate::{
    model::Instance,
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

/// A check from a closure; made by [`check_fn`].
#[derive(Clone)]
pub struct FnCheck<F> {
    description: String,
    probe: F,
}

/// A check from a closure that probes one instance once.
///
/// ```
/// use deployer_core::{checks::check_fn, strategy::Probe};
///
/// let check = check_fn("runs on a known place", |_context, instance| async move {
///     if instance.place.as_str() == "host-a" { Probe::Ok } else { Probe::Failed { why: "elsewhere".into() } }
/// });
/// # let _: &dyn deployer_core::ports::HealthCheck = &check;
/// ```
pub fn check_fn<F, R>(description: impl Into<String>, probe: F) -> FnCheck<F>
where
    F: Fn(CallContext, Instance) -> R + Send + Sync + 'static,
    R: Future<Output = Probe> + Send + 'static,
{
    FnCheck { description: description.into(), probe }
}

impl<F> fmt::Debug for FnCheck<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnCheck").field("description", &self.description).finish_non_exhaustive()
    }
}

#[async_trait]
impl<F, R> HealthCheck for FnCheck<F>
where
    F: Fn(CallContext, Instance) -> R + Send + Sync + 'static,
    R: Future<Output = Probe> + Send + 'static,
{
    fn describe(&self) -> String {
        self.description.clone()
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        (self.probe)(context.clone(), instance.clone()).await
    }
}
