//! State and observation, with the facts that every strategy asks for.

use std::time::Duration;

use super::{
    Budget, Cause, Decision, Direction, InstanceSeen, Observation, Phase, Plan, RolloutState, Seen, SetSeen,
};
use super::{PauseReason, TrafficSeen, WaitReason};
use crate::model::{InstancePhase, SetId, Timestamp};

/// What a strategy decides on: what was decided, and what is seen.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What the rollout was started with.
    pub plan: &'a Plan,
    /// What it remembers.
    pub state: &'a RolloutState,
    /// What is there now.
    pub seen: &'a Observation,
    /// How far actions may go.
    pub budget: Budget,
    total: u32,
    available: u32,
}

/// A set in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Starting or running, hidden ones too: what [`SetSpec::replicas`](crate::model::SetSpec::replicas) counts.
    pub size: u32,
    /// Everything that is not gone: also what is stopping, and what is at places that could not be looked at.
    pub existing: u32,
    /// Told to stop and not gone.
    pub stopping: u32,
    /// Ready for long enough and of the right identity.
    pub verified: u32,
    /// Members of the accepted split, healthy or not.
    pub in_rotation: u32,
    /// Verified and in rotation; without a router: verified.
    pub available: u32,
}

impl InstanceSeen {
    /// Starting or running.
    pub fn counts(&self) -> bool {
        matches!(self.phase, InstancePhase::Starting | InstancePhase::Running { .. })
    }

    /// Not gone: starting, running or stopping.
    pub fn exists(&self) -> bool {
        !matches!(self.phase, InstancePhase::Failed { .. })
    }

    /// Told to stop and not gone.
    pub fn is_stopping(&self) -> bool {
        matches!(self.phase, InstancePhase::Stopping { .. })
    }
}

impl<'a> Situation<'a> {
    /// Counts what is seen, once.
    pub fn new(plan: &'a Plan, state: &'a RolloutState, seen: &'a Observation, budget: Budget) -> Self {
        let mut situation = Self { plan, state, seen, budget, total: 0, available: 0 };
        for set in situation.sets() {
            let tally = situation.tally_of(set);
            situation.total += tally.existing;
            situation.available += tally.available;
        }
        situation
    }

    /// When the observation was made.
    pub fn now(&self) -> Timestamp {
        self.seen.now
    }

    /// Replicas wanted at the end.
    pub fn replicas(&self) -> u32 {
        self.state.replicas
    }

    /// All sets that the target has; none while it could not be looked at.
    pub fn sets(&self) -> &'a [SetSeen] {
        match &self.seen.sets {
            Seen::Known(sets) => sets,
            Seen::Unknown { .. } => &[],
        }
    }

    /// One set, if the target has it.
    pub fn set(&self, id: &SetId) -> Option<&'a SetSeen> {
        self.sets().iter().find(|set| set.set == *id)
    }

    /// What the router says; `None` without a router, or while it could not be asked.
    pub fn traffic(&self) -> Option<&'a TrafficSeen> {
        match &self.seen.traffic {
            Some(Seen::Known(traffic)) => Some(traffic),
            _ => None,
        }
    }

    /// Whether this workload's traffic is routed.
    pub fn has_router(&self) -> bool {
        self.plan.router.is_some()
    }

    /// Sets that are neither the old nor the new one.
    pub fn leftovers(&self) -> impl Iterator<Item = &'a SetSeen> + use<'a> {
        let state = self.state;
        self.sets()
            .iter()
            .filter(move |set| set.set != state.candidate && state.stable.as_ref() != Some(&set.set))
    }

    /// The identity that instances of a set must show, where it is known.
    pub(super) fn expected_digest(&self, set: &SetId) -> Option<&'a str> {
        if *set == self.state.candidate {
            return self.state.artifact.as_ref().map(|artifact| &*artifact.digest);
        }
        let stable = self.plan.stable.as_ref()?;
        (stable.release.id.as_str() == set.as_str()).then_some(&*stable.artifact.digest)
    }

    /// Whether an instance has been ready for long enough and is what it should be.
    pub fn is_verified(&self, set: &SetId, instance: &InstanceSeen) -> bool {
        is_verified(self, self.expected_digest(set), instance)
    }

    /// A set in numbers; all zero if the target does not have it.
    pub fn tally(&self, id: &SetId) -> Tally {
        self.set(id).map_or_else(Tally::default, |set| self.tally_of(set))
    }

    /// A set in numbers.
    pub fn tally_of(&self, set: &SetSeen) -> Tally {
        let digest = self.expected_digest(&set.set);
        let mut tally = Tally { size: set.hidden, existing: set.hidden, ..Tally::default() };
        for instance in &set.instances {
            let verified = is_verified(self, digest, instance);
            let rotation = instance.in_rotation && instance.exists();
            tally.size += u32::from(instance.counts());
            tally.existing += u32::from(instance.exists());
            tally.stopping += u32::from(instance.is_stopping());
            tally.verified += u32::from(verified);
            tally.in_rotation += u32::from(rotation);
            tally.available += u32::from(verified && (rotation || !self.has_router()));
        }
        tally
    }

    /// Instances of all sets that are not gone.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Available instances of all sets.
    pub fn available(&self) -> u32 {
        self.available
    }

    /// How many more instances may exist.
    pub fn room(&self) -> u32 {
        self.budget.max_total.saturating_sub(self.total())
    }

    /// Whether a set that is told to lose so many instances could grow instead, beyond what may exist. What was seen
    /// running at a place that cannot be looked at now may have been told to stop since: then it still exists, does not
    /// count for the size of the set, and the target makes up for it.
    pub(super) fn could_grow(&self, set: &SetSeen, goes: usize) -> bool {
        let unknown = set.instances.iter().filter(|i| i.unknown && i.counts()).count() + set.hidden as usize;
        unknown.saturating_sub(goes) > self.room() as usize
    }

    /// Remember this from now on.
    pub fn advance(
        &self,
        why: impl Into<std::borrow::Cow<'static, str>>,
        change: impl FnOnce(&mut RolloutState),
    ) -> Decision {
        let mut state = self.state.clone();
        change(&mut state);
        Decision::Advance { state: Box::new(state), why: why.into() }
    }

    /// Remember this; it is progress, so the progress deadline starts anew.
    pub fn progress(
        &self,
        why: impl Into<std::borrow::Cow<'static, str>>,
        change: impl FnOnce(&mut RolloutState),
    ) -> Decision {
        let until = self.now().after(self.plan.settings.progress_deadline);
        self.advance(why, |state| {
            state.progress_until = until;
            change(state);
        })
    }

    /// Go on to a phase.
    pub fn enter(&self, phase: Phase, why: &'static str) -> Decision {
        self.progress(why, |state| state.phase = phase)
    }

    /// Watch what is there for a while, with the way back open; the progress deadline counts from the end of it.
    pub fn bake(&self, time: Duration, why: &'static str) -> Decision {
        let until = self.now().after(time);
        let deadline = until.after(self.plan.settings.progress_deadline);
        self.advance(why, |state| {
            state.phase = Phase::Baking;
            state.bake_until = Some(until);
            state.progress_until = deadline;
        })
    }

    /// Wait for the end of the time that [`bake`](Self::bake) began; `None` if it is over.
    pub fn wait_for_bake(&self, why: WaitReason) -> Option<Decision> {
        let until = self.state.bake_until.filter(|until| *until > self.now())?;
        Some(self.wait_until(why, until))
    }

    /// Turn round.
    pub fn turn_back(&self, cause: Cause) -> Decision {
        let why = format!("going back: {cause}");
        self.progress(why, |state| {
            state.direction = Direction::Backward { cause };
            state.paused_since = None;
            state.reached = 0;
        })
    }

    /// Wait, at most until the progress deadline.
    pub fn wait(&self, why: WaitReason) -> Decision {
        Decision::Wait { why, until: self.state.progress_until }
    }

    /// Wait until a moment, at most until the progress deadline.
    pub fn wait_until(&self, why: WaitReason, until: Timestamp) -> Decision {
        Decision::Wait { why, until: until.min(self.state.progress_until) }
    }

    /// Wait for a person.
    pub fn pause(&self, why: PauseReason) -> Decision {
        Decision::Pause { why }
    }
}

pub(super) fn is_verified(situation: &Situation<'_>, digest: Option<&str>, instance: &InstanceSeen) -> bool {
    let ready_long_enough =
        |since: Timestamp| since.after(situation.plan.settings.min_ready) <= situation.seen.now;
    !instance.unknown
        && matches!(instance.phase, InstancePhase::Running { .. })
        && instance.ready_since.is_some_and(ready_long_enough)
        && digest.is_none_or(|digest| *digest == *instance.digest)
}
