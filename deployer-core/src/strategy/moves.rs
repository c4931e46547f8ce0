//! The moves that strategies are made of, for those that users write.
//!
//! Each returns the next decision on the way to what its name says, and `None` once it is so. A strategy strings them
//! together with `or_else`, and enters its next [`Phase`](super::Phase) when all are `None`.

use std::time::Duration;

use super::{
    Decision, Situation,
    exchange::{self, Exchange},
    finale, gate, provision, traffic,
};
use crate::model::{AttachPoint, Route, SetId};

impl Situation<'_> {
    /// Leftovers of earlier rollouts are retired and the old set has its size. A strategy that keeps the old set begins
    /// with this.
    pub fn clean(&self) -> Option<Decision> {
        finale::clean(self)
    }

    /// This many instances of a set are verified.
    pub fn provision(&self, set: &SetId, size: u32) -> Option<Decision> {
        provision::provision(self, set, size)
    }

    /// Exactly these sets serve, with these weights, and requests that match a route go to its set. A set of which no
    /// instance can serve gets no share.
    pub fn serve(&self, weights: &[(&SetId, u32)], routes: &[Route], why: &'static str) -> Option<Decision> {
        traffic::serve(self, weights, routes, why)
    }

    /// The data plane follows the split: proven, or settled where it cannot be proven.
    pub fn proven(&self) -> Option<Decision> {
        traffic::proven(self)
    }

    /// All gates of this point have passed for this step.
    pub fn pass_gates(&self, at: AttachPoint, step: u32) -> Option<Decision> {
        gate::pass(self, at, step)
    }

    /// The new set takes the place of all others within the budget, instance by instance: in rotation once verified, old
    /// ones drained before they stop.
    pub fn exchange(&self) -> Option<Decision> {
        let wanted = Exchange { to: &self.state.candidate, goal: self.replicas(), spare: None };
        exchange::exchange(self, wanted)
    }

    /// For [`Phase::Shifting`](super::Phase::Shifting): the whole new set gets all traffic, proven, its gates passed; then
    /// the bake time begins.
    pub fn take_all_traffic(&self, bake: Duration) -> Decision {
        finale::take_all_traffic(self, bake)
    }

    /// For [`Phase::Baking`](super::Phase::Baking) with all traffic on the new set: watched until the bake time ends and
    /// its gates have passed; then the old set is retired.
    pub fn bake_out(&self) -> Decision {
        finale::bake(self)
    }

    /// For [`Phase::Retiring`](super::Phase::Retiring): everything but the new set is drained and removed, and that is the
    /// end.
    pub fn retire(&self) -> Decision {
        finale::retire(self)
    }
}
