//! Pure decisions: what to do next, given what was decided and what is seen. No clock, no I/O, no tokio.

mod blue_green;
mod canary;
mod choice;
mod decision;
mod delegated;
mod exchange;
mod failure;
mod finale;
mod gate;
mod health;
mod interrupt;
pub mod invariant;
mod observation;
mod plan;
mod preview;
mod provision;
mod recreate;
mod request;
mod rollback;
mod rolling;
mod situation;
mod state;
mod step;
mod traffic;

pub use blue_green::{BlueGreen, BlueGreenSettings};
pub use canary::{Canary, CanarySettings, CanaryStep, StepPause};
pub use choice::StrategySettings;
pub use decision::{Command, Decision, Outcome, PauseReason, WaitReason};
pub use delegated::{Delegated, DelegatedSettings};
pub use health::{HealthSettings, Probe, ProbeHistory};
pub use observation::{
    CommandFailure, CommandKind, GateSeen, InstanceSeen, Observation, PlaceSeen, Request, RequestKind, Seen,
    SetSeen, TrafficSeen,
};
pub use plan::{Budget, Plan};
pub use preview::{Preview, PreviewStep, preview};
pub use recreate::{Recreate, RecreateSettings};
pub use rolling::{Rolling, RollingSettings};
pub use situation::{Situation, Tally};
pub use state::{Cause, Direction, GateRecord, Phase, RolloutState, Timer, Verdict};
pub use step::step;

use crate::{
    error::Problem,
    model::{RouterCapabilities, TargetCapabilities},
};

/// How a release replaces another, as a pure function. Same input, same output; it only ever runs forward:
/// [`step`] handles requests, deadlines, failures and the way back for every strategy alike.
pub trait Strategy: std::fmt::Debug + Send + Sync + 'static {
    /// Its name in events, journals and settings.
    fn name(&self) -> &str;

    /// Everything that keeps this strategy from working with this target and router.
    ///
    /// # Errors
    /// All problems at once.
    fn check(
        &self,
        target: &TargetCapabilities,
        router: Option<&RouterCapabilities>,
    ) -> Result<(), Vec<Problem>>;

    /// How far its actions may move the number of available and of existing instances.
    fn budget(&self, replicas: u32, target: &TargetCapabilities) -> Budget;

    /// What to do next on the way forward. Called only when the release is prepared, nothing failed, nobody paused
    /// and the whole observation is known.
    fn decide(&self, situation: &Situation<'_>) -> Decision;
}
