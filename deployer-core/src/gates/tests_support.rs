//! What unit tests of gates ask.

use std::time::Duration;

use crate::{
    checks::tests_support::context,
    model::{AttachPoint, SetId, Timestamp},
    ports::{Gate, GateAnswer, GateWindow},
};

/// The first moment at which a gate is asked, in milliseconds.
pub(crate) const START: u64 = 1_000_000;

/// A question that was first asked `millis` ago.
pub(crate) fn window(millis: u64) -> GateWindow {
    GateWindow {
        at: AttachPoint::EachStep,
        step: 0,
        since: Timestamp::from_millis(START),
        now: Timestamp::from_millis(START + millis),
        candidate: SetId::new("v2").unwrap(),
        stable: Some(SetId::new("v1").unwrap()),
        instances: [].into(),
        memory: serde_json::Value::Null,
    }
}

/// Asks with a deadline of five seconds.
pub(crate) async fn ask(gate: &dyn Gate, window: &GateWindow) -> GateAnswer {
    gate.evaluate(&context(Duration::from_secs(5)), window).await
}
