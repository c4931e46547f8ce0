//! The only code that sleeps: it looks, asks the [strategy](crate::strategy), and does what that says, until the end.
//!
//! A run takes the lock, reads the journals, and begins or goes on. Then it turns in one loop: *look* at target, router
//! and probes; ask the pure [`step`](crate::strategy::step) what to do; *remember* it (one journal record) or *do* it
//! (an intent in the journal, then commands that may each be repeated), and look again. Nothing else is kept, so a
//! process that dies anywhere in between has lost nothing that a look and the journal do not give back.
//!
//! Hints of the backends, changes of health, gates, people and deadlines wake the loop. While something is under way it
//! also looks by itself, at first soon and then ever less often ([`EngineSettings`]).

mod apply;
mod assemble;
mod base;
mod builder;
mod call;
mod check;
mod control;
mod deployment;
mod driver;
mod evidence;
mod gates;
mod history;
mod limit;
mod listen;
mod memory;
mod notices;
mod observe;
mod pace;
mod parts;
mod plan_preview;
mod probes;
mod recorder;
mod recover;
mod removal;
mod report;
mod session;
mod settings;
mod shared;
mod stamp;
mod start;
mod wake;
mod wanted;

pub use builder::DeploymentBuilder;
pub use control::Control;
pub use deployment::Deployment;
pub use evidence::InstanceEvidence;
pub use limit::Limit;
pub use plan_preview::{DeploymentPreview, StagePreview};
pub use removal::RemovalBuilder;
pub use report::{LiveSet, Report, RolloutReport, StageReport, TimelineEntry};
pub use settings::{EngineSettings, ProbeSettings, RetryPolicy};
pub use shared::IntoShared;

pub(crate) use base::{Base, base_setters};
pub(crate) use call::doubled;
pub(crate) use check::check_engine;
pub(crate) use driver::Driver;
pub(crate) use history::History;
pub(crate) use parts::{RolloutParts, StageParts, StageWork};
pub(crate) use recorder::Recorder;
pub(crate) use recover::{Recovery, plan as recover};
pub(crate) use session::{Session, Stop};
