//! Which calls a run makes that write something.

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{CrashPoint, Moment, kind_of};
use crate::inject::{After, Before, Injector, PortCall};

/// An injector that disturbs nothing and writes down each call that could be the last one.
#[derive(Debug, Default)]
pub struct Trail(Mutex<Vec<String>>);

impl Trail {
    /// Nothing has been called.
    pub fn new() -> Self {
        Self::default()
    }

    /// Kinds of the calls, in the order in which they were made.
    pub fn calls(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    /// Every point that was passed, in order: two for each record, three for each effect.
    pub fn points(&self) -> Vec<CrashPoint> {
        let calls = self.calls();
        let mut points = Vec::new();
        for (at, kind) in calls.iter().enumerate() {
            let number = calls[..=at].iter().filter(|other| *other == kind).count() as u64;
            let all = Moment::ALL.map(|moment| CrashPoint::new(kind, number, moment));
            points
                .extend(all.into_iter().filter(|point| point.is_effect() || point.moment != Moment::Inside));
        }
        points
    }
}

#[async_trait]
impl Injector for Trail {
    async fn before(&self, call: &PortCall) -> Before {
        if let Some(kind) = kind_of(call) {
            self.0.lock().push(kind.to_owned());
        }
        Before::Go
    }

    async fn after(&self, _: &PortCall) -> After {
        After::Answer
    }
}
