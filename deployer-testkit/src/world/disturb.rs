//! What happens to instances by itself, and of which of them nobody can be sure therefore.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use deployer_core::model::{InstanceId, Place, Timestamp, WorkloadId};

use super::{CallKind, Effect, FaultRates, World, state::State};

/// A time in which an instance did not do what it should, or could not be seen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Which instance.
    pub instance: InstanceId,
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl World {
    /// The platform starts a running instance again, in its place and under its address. Returns whether there was one.
    pub fn restart(&self, instance: &InstanceId) -> bool {
        self.change(|state| state.restart(instance))
    }

    /// Something keeps an instance from working for a while; it runs on. Returns whether there was one.
    pub fn disturb(&self, instance: &InstanceId, duration: Duration) -> bool {
        self.change(|state| {
            let (now, until) = (state.now, state.now.after(duration));
            let Some(found) = state.live_mut(instance) else { return false };
            found.disturbed = Some((now, until));
            state.doubts.push(Doubt { instance: instance.clone(), from: now, until });
            true
        })
    }

    /// Somebody was told something untrue about an instance.
    pub fn doubt(&self, instance: &InstanceId) {
        self.change(|state| {
            let now = state.now;
            state.doubts.push(Doubt { instance: instance.clone(), from: now, until: now });
        });
    }

    /// Makes faults of one kind of calls happen by chance, instead of the general rates.
    pub fn set_fault_rates_of(&self, kind: CallKind, rates: FaultRates) {
        self.change(|state| state.faults.rates_of.insert(kind, rates));
    }

    /// From now on only planned faults happen.
    pub fn end_faults(&self) {
        self.change(|state| {
            state.faults.rates = FaultRates::default();
            state.faults.rates_of.clear();
        });
    }

    /// How often which fault of a call happened.
    pub fn faults_happened(&self) -> Vec<(&'static str, u64)> {
        self.query(|state| state.faults.happened.iter().map(|(name, count)| (*name, *count)).collect())
    }

    /// What calls did to the numbers that count, oldest first.
    pub fn effects(&self) -> Vec<Effect> {
        self.query(|state| state.effects.clone())
    }

    /// Times in which instances did not do what they should or could not be seen to, but for places that cannot be
    /// reached now.
    pub fn doubts(&self) -> Vec<Doubt> {
        self.query(|state| state.doubts.clone())
    }

    /// Instances of which nobody can be sure: something happened to them since `since`, their place cannot be reached,
    /// or they flap.
    pub fn doubtful(&self, since: Timestamp) -> BTreeSet<InstanceId> {
        self.query(|state| state.doubtful(since))
    }

    /// Instances of a workload that work.
    pub fn working(&self, workload: &WorkloadId) -> BTreeSet<InstanceId> {
        self.query(|state| {
            let all = state.sets_of(workload).flat_map(|(_, set)| &set.instances);
            all.filter(|one| one.works(state.now)).map(|one| one.id.clone()).collect()
        })
    }

    /// What starting and running instances of a workload run.
    pub fn digests(&self, workload: &WorkloadId) -> Vec<(InstanceId, Arc<str>)> {
        self.query(|state| {
            let all = state.sets_of(workload).flat_map(|(_, set)| &set.instances);
            all.filter(|one| one.is_live()).map(|one| (one.id.clone(), Arc::clone(&one.digest))).collect()
        })
    }

    /// Starting and running instances of a workload, and where they are.
    pub fn live(&self, workload: &WorkloadId) -> Vec<(InstanceId, Place)> {
        self.query(|state| {
            let all = state.sets_of(workload).flat_map(|(_, set)| &set.instances);
            all.filter(|one| one.is_live()).map(|one| (one.id.clone(), one.place.clone())).collect()
        })
    }
}

impl State {
    fn live_mut(&mut self, id: &InstanceId) -> Option<&mut super::instance::FakeInstance> {
        let all = self.sets.values_mut().flat_map(|set| &mut set.instances);
        all.into_iter().find(|one| one.id == *id && one.is_live())
    }

    fn restart(&mut self, id: &InstanceId) -> bool {
        let start = self.settings.start.draw(&mut self.random);
        let ready = self.settings.ready.draw(&mut self.random);
        let now = self.now;
        let Some(found) = self.live_mut(id) else { return false };
        found.restarts += 1;
        found.started_at = now;
        found.up_at = now.after(start);
        found.ready_at = found.ready_at.map(|_| now.after(start).after(ready));
        let until = now.after(start).after(ready);
        self.doubts.push(Doubt { instance: id.clone(), from: now, until });
        true
    }

    /// A place can be reached again: until now nobody could be sure of what is there.
    pub(super) fn reappear(&mut self, place: &Place) {
        let Some(since) = self.hidden_since.remove(place) else { return };
        let until = self.now;
        let there = self.sets.values().flat_map(|set| &set.instances).filter(|one| one.place == *place);
        let doubt = |one: &super::instance::FakeInstance| Doubt {
            instance: one.id.clone(),
            from: since.max(one.started_at),
            until,
        };
        self.doubts.extend(there.map(doubt));
    }

    fn doubtful(&self, since: Timestamp) -> BTreeSet<InstanceId> {
        let told = self.doubts.iter().filter(|doubt| doubt.until >= since);
        let hidden = |place: &Place| self.unknown_places.contains_key(place);
        let all = self.sets.values().flat_map(|set| &set.instances);
        let unsure = all.filter(|one| one.flaps.is_some() || hidden(&one.place));
        told.map(|doubt| doubt.instance.clone()).chain(unsure.map(|one| one.id.clone())).collect()
    }
}
