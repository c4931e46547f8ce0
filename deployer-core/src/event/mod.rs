//! One stream for journal, audit trail and event log.

mod buffer;
mod kind;
mod outline;
mod render;
mod stream;

pub use buffer::{EventBuffer, EventsSince};
pub use kind::{CommandResult, Event, EventKind};
pub use outline::{CrashKind, Resolution, StageOutline, UndoKind};
pub(crate) use render::OutcomeText;
pub use render::line;
pub use stream::EventStream;

pub(crate) use stream::EventBus;
