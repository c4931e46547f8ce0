//! What disturbs a deployment on purpose, other than a crash.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use deployer::{
    engine::Control,
    ports::{CallContext, Gate, GateAnswer, GateWindow},
    strategy::{Cause, Outcome, Verdict},
};
use deployer_testkit::{
    crash::kind_of,
    inject::{After, Before, Injector, PortCall},
};

/// Without texts that tell of times and names.
pub(crate) fn in_short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::RolledBack { cause: Cause::InstancesFailed { .. } } => {
            "rolled back: instances failed".to_owned()
        }
        Outcome::RolledBack { cause: Cause::GateFailed { gate, .. } } => format!("rolled back: gate {gate}"),
        other => format!("{other:?}"),
    }
}

/// A gate that refuses.
#[derive(Debug)]
pub(crate) struct No;

#[async_trait]
impl Gate for No {
    fn describe(&self) -> String {
        "no".to_owned()
    }

    async fn evaluate(&self, _: &CallContext, window: &GateWindow) -> GateAnswer {
        let verdict = Verdict::Fail { reason: "as planned".to_owned() };
        GateAnswer { verdict, memory: serde_json::Value::Null, next_at: window.now }
    }
}

/// Tells the deployer to stop when it first shifts traffic, once in the life of a deployment.
#[derive(Debug)]
pub(crate) struct Interrupting {
    inner: Arc<dyn Injector>,
    control: OnceLock<Control>,
    done: Arc<AtomicBool>,
}

impl Interrupting {
    pub(crate) fn new(inner: Arc<dyn Injector>, done: Arc<AtomicBool>) -> Self {
        Self { inner, control: OnceLock::new(), done }
    }

    /// Whom to tell.
    pub(crate) fn tells(&self, control: Control) {
        let _ = self.control.set(control);
    }
}

#[async_trait]
impl Injector for Interrupting {
    async fn before(&self, call: &PortCall) -> Before {
        if kind_of(call) == Some("shift") && !self.done.swap(true, Ordering::Relaxed) {
            self.control.get().unwrap().interrupt("told to end");
        }
        self.inner.before(call).await
    }

    async fn after(&self, call: &PortCall) -> After {
        self.inner.after(call).await
    }
}
