//! One stream for journal, audit trail and event log.

mod buffer;
mod kind;
mod render;
mod stream;

pub use buffer::{EventBuffer, EventsSince};
pub use kind::{CommandResult, Event, EventKind, StageOutline};
pub(crate) use render::OutcomeText;
pub use render::line;
pub use stream::EventStream;

pub(crate) use stream::EventBus;
