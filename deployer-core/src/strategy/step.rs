//! One step of a rollout: what every strategy shares, then the strategy's own decision.

use super::{Decision, Observation, Plan, RolloutState, Strategy};

/// Decides what to do next.
pub fn step(strategy: &dyn Strategy, plan: &Plan, state: &RolloutState, seen: &Observation) -> Decision {
    strategy.decide(&super::Situation { plan, state, seen })
}
