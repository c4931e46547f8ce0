//! Injectors for the usual purposes.

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{After, Before, Injector, PortCall};

/// Lets everything pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Harmless;

#[async_trait]
impl Injector for Harmless {
    async fn before(&self, _: &PortCall) -> Before {
        Before::Go
    }

    async fn after(&self, _: &PortCall) -> After {
        After::Answer
    }
}

/// Makes each idempotent call twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct EachTwice;

#[async_trait]
impl Injector for EachTwice {
    async fn before(&self, _: &PortCall) -> Before {
        Before::Twice
    }

    async fn after(&self, _: &PortCall) -> After {
        After::Answer
    }
}

/// Does one thing at the `number`-th call of all, counted over every port that it is given to, and remembers which it was.
///
/// Run something with number 1, 2, 3 … until [`reached`](Self::reached) says that there was no such call any more: then
/// every call has been the one that went wrong.
#[derive(Debug)]
pub struct AtCall {
    number: u64,
    before: Before,
    after: After,
    seen: Mutex<(u64, Option<PortCall>)>,
}

impl AtCall {
    /// Does this to the call with this number, from 1.
    pub fn new(number: u64, before: Before, after: After) -> Self {
        Self { number, before, after, seen: Mutex::default() }
    }

    /// The call that went wrong, if there were that many.
    pub fn reached(&self) -> Option<PortCall> {
        self.seen.lock().1.clone()
    }

    /// How many calls there have been.
    pub fn calls(&self) -> u64 {
        self.seen.lock().0
    }
}

#[async_trait]
impl Injector for AtCall {
    async fn before(&self, call: &PortCall) -> Before {
        let mut seen = self.seen.lock();
        seen.0 += 1;
        if seen.0 != self.number {
            return Before::Go;
        }
        seen.1 = Some(call.clone());
        self.before
    }

    async fn after(&self, call: &PortCall) -> After {
        if self.seen.lock().1.as_ref() == Some(call) { self.after } else { After::Answer }
    }
}
