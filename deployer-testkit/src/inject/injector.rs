//! Who decides what becomes of a call.

use async_trait::async_trait;
use deployer_core::error::ErrorKind;

use super::PortCall;

/// What becomes of a call before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Before {
    /// It is made.
    Go,
    /// It is made twice, one after the other; the answer is the second one. Calls without idempotence (`Journal::create`,
    /// `Journal::append`, `Lock::acquire`, `Lock::take_over`) are made once all the same.
    Twice,
    /// It is not made and fails.
    Fail(ErrorKind),
    /// It is not made and never returns.
    Hang,
}

/// What becomes of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum After {
    /// It goes back to the caller.
    Answer,
    /// It is lost: the caller sees a time-out, a failed write, or a probe that says nothing.
    Lose,
    /// It is lost and the call never returns.
    Hang,
}

/// Who decides what becomes of calls. An injector may also end the process, or wake who drops the run.
#[async_trait]
pub trait Injector: std::fmt::Debug + Send + Sync + 'static {
    /// Asked before a call is made.
    async fn before(&self, call: &PortCall) -> Before;

    /// Asked when the port has answered, with or without an error.
    async fn after(&self, call: &PortCall) -> After;
}
