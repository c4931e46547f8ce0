//! Pure decisions: what to do next, given what was decided and what is seen. No clock, no I/O, no tokio.

mod blue_green;
mod canary;
mod choice;
mod contract;
mod decision;
mod delegated;
mod exchange;
mod failure;
mod finale;
mod gate;
mod health;
mod interrupt;
pub mod invariant;
mod moves;
mod observation;
mod plan;
mod preview;
mod provision;
mod recreate;
mod removal;
mod request;
mod rollback;
mod rolling;
mod situation;
mod state;
mod step;
mod traffic;
mod weighing;

pub use blue_green::{BlueGreen, BlueGreenSettings};
pub use canary::{Canary, CanarySettings, CanaryStep, StepPause};
pub use choice::StrategySettings;
pub use contract::Strategy;
pub use decision::{Command, Decision, Outcome, PauseReason, WaitReason};
pub use delegated::{Delegated, DelegatedSettings};
pub use health::{HealthSettings, Probe, ProbeHistory};
pub use observation::{
    CommandFailure, CommandKind, GateSeen, InstanceSeen, Observation, PlaceSeen, Posted, Request,
    RequestKind, Seen, SetSeen, TrafficSeen,
};
pub use plan::{Budget, Plan};
pub use preview::{Preview, PreviewStep, preview};
pub use recreate::{Recreate, RecreateSettings};
pub use removal::Vacate;
pub use rolling::{Rolling, RollingSettings};
pub use situation::{Situation, Tally};
pub use state::{Cause, Direction, GateRecord, Phase, RolloutState, Timer, Verdict};
pub use step::step;

pub(crate) use removal::Removal;
