//! Several stages that go live together or not at all.
//!
//! A pipeline is a sequence of stages: backups, migrations, rollouts of one or more workloads, checks, your own code.
//! Each says how it is undone. If one fails, it and those before it are undone in reverse order, up to the
//! [point of no return](StageWithoutUndo::pivot); a rollout that succeeded is rolled back. A process that is killed goes
//! on where it was, and each stage says what a crash in the middle of it means.

mod attend;
mod backup;
mod builder;
mod context;
mod custom;
mod error;
mod gate;
mod hook;
mod next;
mod progress;
mod rollout;
mod run;
mod stage;
mod undo;
mod verify;
mod work;

pub use builder::{Pipeline, PipelineBuilder};
pub use context::StageContext;
pub use error::StageError;
pub use hook::Hook;
pub use stage::{Stage, StageWithoutCrash, StageWithoutUndo};
pub use verify::Verify;
pub use work::Work;

pub(crate) use next::{Next, next};
pub(crate) use progress::{Progress, Rollout, StagePhase};
pub(crate) use run::run;
