//! A gate from a closure.

use std::fmt;

use async_trait::async_trait;

use crate::ports::{CallContext, Gate, GateAnswer, GateWindow};

/// A gate from a closure; made by [`gate_fn`].
#[derive(Clone)]
pub struct FnGate<F> {
    description: String,
    evaluate: F,
}

/// A gate from a closure.
///
/// ```
/// use std::time::Duration;
/// use deployer_core::{gates::gate_fn, ports::GateAnswer, strategy::Verdict};
///
/// let gate = gate_fn("at most ten instances", |_context, window| async move {
///     let verdict = if window.instances.len() <= 10 {
///         Verdict::Pass { reason: "few enough".into() }
///     } else {
///         Verdict::Fail { reason: format!("{} instances", window.instances.len()) }
///     };
///     GateAnswer { verdict, memory: window.memory, next_at: window.now.after(Duration::from_secs(1)) }
/// });
/// # let _: &dyn deployer_core::ports::Gate = &gate;
/// ```
pub fn gate_fn<F, R>(description: impl Into<String>, evaluate: F) -> FnGate<F>
where
    F: Fn(CallContext, GateWindow) -> R + Send + Sync + 'static,
    R: Future<Output = GateAnswer> + Send + 'static,
{
    FnGate { description: description.into(), evaluate }
}

impl<F> fmt::Debug for FnGate<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnGate").field("description", &self.description).finish_non_exhaustive()
    }
}

#[async_trait]
impl<F, R> Gate for FnGate<F>
where
    F: Fn(CallContext, GateWindow) -> R + Send + Sync + 'static,
    R: Future<Output = GateAnswer> + Send + 'static,
{
    fn describe(&self) -> String {
        self.description.clone()
    }

    async fn evaluate(&self, context: &CallContext, window: &GateWindow) -> GateAnswer {
        (self.evaluate)(context.clone(), window.clone()).await
    }
}
