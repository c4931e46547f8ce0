//! What was asked of the world.

use std::fmt;

use deployer_core::{error::ErrorKind, model::Timestamp, ports::CallContext};

/// What kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CallKind {
    /// `Target::observe`.
    Observe,
    /// `Target::prepare`.
    Prepare,
    /// `Target::apply`.
    Apply,
    /// `Target::remove`.
    Remove,
    /// `Target::evidence`.
    Evidence,
    /// `Target::watch`.
    WatchTarget,
    /// `TrafficRouter::apply`.
    Shift,
    /// `TrafficRouter::current`.
    Current,
    /// `TrafficRouter::in_flight`.
    InFlight,
    /// `TrafficRouter::watch`.
    WatchRouter,
    /// `HealthCheck::probe`.
    Probe,
    /// `MetricSource::counts`.
    Metrics,
}

impl CallKind {
    /// Whether it changes the world.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Apply | Self::Remove | Self::Shift)
    }
}

/// How a call went, as the world knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// It has not returned: it is under way, hangs, or its future was dropped.
    Unfinished {
        /// Whether it had its effect.
        done: bool,
    },
    /// It returned a value.
    Answered,
    /// It was refused or failed.
    Failed {
        /// With which error.
        error: ErrorKind,
        /// Whether it had its effect nevertheless.
        done: bool,
    },
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it began.
    pub at: Timestamp,
    /// What kind.
    pub kind: CallKind,
    /// Its number among the calls of this kind, from 1.
    pub number: u64,
    /// What travelled with it.
    pub context: CallContext,
    /// What it was about.
    pub what: String,
    /// How it went.
    pub outcome: CallOutcome,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kind, number, context, what, outcome } = self;
        write!(f, "{at} {kind:?} {number} (epoch {}): {what}: {outcome:?}", context.epoch)
    }
}
