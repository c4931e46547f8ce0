//! Answers of gates.

use std::time::Duration;

use serde_json::Value;

use crate::{
    model::Timestamp,
    ports::{GateAnswer, GateWindow},
    strategy::Verdict,
};

/// An answer that remembers nothing and asks to be asked again after `every`, a millisecond at least.
pub(super) fn answer(window: &GateWindow, verdict: Verdict, every: Duration) -> GateAnswer {
    GateAnswer { verdict, memory: Value::Null, next_at: later(window.now, every) }
}

/// Never now: a gate that asks to be asked at once would be a hot loop.
pub(super) fn later(now: Timestamp, every: Duration) -> Timestamp {
    now.after(every.max(Duration::from_millis(1)))
}

pub(super) fn pass(reason: impl Into<String>) -> Verdict {
    Verdict::Pass { reason: reason.into() }
}

pub(super) fn fail(reason: impl Into<String>) -> Verdict {
    Verdict::Fail { reason: reason.into() }
}

pub(super) fn hold(reason: impl Into<String>) -> Verdict {
    Verdict::Hold { reason: reason.into() }
}

pub(super) fn unknown(reason: impl Into<String>) -> Verdict {
    Verdict::Unknown { reason: reason.into() }
}
