//! State and observation, with the facts that every strategy asks for.

use super::{Observation, Plan, RolloutState};

/// What a strategy decides on: what was decided, and what is seen.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What the rollout was started with.
    pub plan: &'a Plan,
    /// What it remembers.
    pub state: &'a RolloutState,
    /// What is there now.
    pub seen: &'a Observation,
}
