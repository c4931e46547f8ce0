//! One stream for journal, audit trail and event log.

mod kind;

pub use kind::{CommandResult, Event, EventKind, StageOutline};
