//! What a strategy is.

use super::{Budget, Decision, Situation};
use crate::{
    error::Problem,
    model::{RouterCapabilities, TargetCapabilities},
};

/// How a release replaces another, as a pure function. Same input, same output; it only ever runs forward:
/// [`step`](super::step) handles requests, deadlines, failures and the way back for every strategy alike.
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
