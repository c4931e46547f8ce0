//! What a rollout was started with and what never changes while it runs.

use serde::{Deserialize, Serialize};

use super::{RolloutState, Strategy};
use crate::model::{
    Artifact, GateBinding, PinnedRelease, Release, RolloutSettings, RouterCapabilities, SetId,
    TargetCapabilities, WorkloadId,
};

/// How far the actions of a strategy may move a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Budget {
    /// Available instances of all sets never become fewer than this by our act.
    pub min_available: u32,
    /// Existing instances of all sets, the stopping ones included, never become more than this by our act.
    pub max_total: u32,
    /// The old set stays whole until the new one is final.
    pub keeps_old: bool,
}

impl Budget {
    /// The budget of a strategy for a rollout as it is now. Where the old set is kept whole, a smaller number of
    /// replicas asked for in the middle lowers the floor at once; the ceiling stays that of the largest number that
    /// there was, as the old set may have it.
    pub fn of(strategy: &dyn Strategy, plan: &Plan, state: &RolloutState) -> Self {
        let budget = strategy.budget(state.replicas, &plan.target);
        if state.vacate.is_some() {
            return Self { min_available: 0, keeps_old: false, ..budget };
        }
        let largest = plan.replicas.max(state.largest);
        if !budget.keeps_old || largest <= state.replicas {
            return budget;
        }
        Self { max_total: strategy.budget(largest, &plan.target).max_total, ..budget }
    }
}

/// What a rollout was started with and what never changes while it runs. Journaled once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is deployed.
    pub workload: WorkloadId,
    /// The new release.
    pub release: Release,
    /// What it was resolved to when it was live before, where it has to be exactly that again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Artifact>,
    /// The last succeeded release, if there is one: where a failing rollout goes back to. Its set may have been
    /// removed from the target since.
    pub stable: Option<PinnedRelease>,
    /// The set to go back to: that of `stable`, or an adopted one that has no release.
    pub stable_set: Option<SetId>,
    /// Replicas at the start; a scale request changes [`RolloutState::replicas`](super::RolloutState::replicas).
    pub replicas: u32,
    /// Settings shared by all strategies.
    pub settings: RolloutSettings,
    /// Gates and where they are asked.
    pub gates: Vec<GateBinding>,
    /// What the target can do.
    pub target: TargetCapabilities,
    /// What the router can do, if there is one.
    pub router: Option<RouterCapabilities>,
    /// The release is one of the last `rollback_window` succeeded ones: steps, gates and bake time are skipped.
    pub returning: bool,
}

impl Plan {
    /// The set of the new release.
    pub fn candidate(&self) -> SetId {
        SetId::from(&self.release.id)
    }
}
