//! Whether one instance works.

use async_trait::async_trait;

use super::CallContext;
use crate::{model::Instance, strategy::Probe};

/// One probe of one instance. Thresholds are not its business: see [`ProbeHistory`](crate::strategy::ProbeHistory).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait HealthCheck: std::fmt::Debug + Send + Sync + 'static {
    /// What it checks, in words.
    fn describe(&self) -> String;

    /// Probes one instance once, within [`CallContext::deadline`]. It reaches that very instance, not whoever the
    /// router picks. What it cannot find out is [`Probe::Unknown`], never a failure.
    ///
    /// # Cancel safety
    /// A probe has no effect; it can be dropped at any time.
    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe;
}
