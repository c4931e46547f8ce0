//! The only code that sleeps: it looks, asks the [strategy](crate::strategy), and does what that says, until the end.

mod apply;
mod assemble;
mod builder;
mod call;
mod check;
mod control;
mod deployment;
mod driver;
mod evidence;
mod gates;
mod history;
mod notices;
mod observe;
mod pace;
mod parts;
mod probes;
mod recorder;
mod recover;
mod report;
mod session;
mod settings;
mod shared;
mod start;
mod wake;

pub use builder::DeploymentBuilder;
pub use control::Control;
pub use deployment::Deployment;
pub use evidence::InstanceEvidence;
pub use report::{LiveSet, Report, StageReport, TimelineEntry};
pub use settings::{EngineSettings, ProbeSettings, RetryPolicy};
pub use shared::IntoShared;

pub(crate) use driver::Driver;
pub(crate) use recorder::Recorder;
pub(crate) use recover::Next;
pub(crate) use session::{Session, Stop};
