//! What is remembered of a workload from look to look. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::assemble::{Look, in_rotation};
use crate::{
    model::{Instance, InstanceId, InstancePhase, Place, PlaceStatus, SetId, Timestamp, WorkloadView},
    strategy::{Command, Seen},
};

/// What is remembered of one instance from look to look.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) set: SetId,
    pub(super) instance: Instance,
    /// Its place could not be looked at this time.
    pub(super) unknown: bool,
    /// It served before this process looked for the first time.
    pub(super) trusted: bool,
    /// The target took a command to stop it.
    told_to_stop: bool,
    pub(super) ready_since: Option<Timestamp>,
    pub(super) was_ready: bool,
    pub(super) first_seen: Timestamp,
}

impl Remembered {
    /// What makes this run of it another than the one before.
    pub(super) fn run(&self) -> (Timestamp, u32) {
        (self.instance.started_at, self.instance.restarts)
    }

    fn new(set: SetId, instance: Instance, now: Timestamp) -> Self {
        Self {
            set,
            instance,
            unknown: false,
            trusted: false,
            told_to_stop: false,
            ready_since: None,
            was_ready: false,
            first_seen: now,
        }
    }

    fn follow(&mut self, instance: &Instance, unknown: bool, now: Timestamp) {
        let run = self.run();
        self.instance = instance.clone();
        self.unknown = unknown;
        if self.run() != run {
            *self = Self::new(self.set.clone(), instance.clone(), now);
        }
        self.told_to_stop &= unknown;
        self.presume(now);
        if is_ready(&self.instance) {
            self.ready_since.get_or_insert(now);
            self.was_ready = true;
        } else {
            self.ready_since = None;
        }
    }
}

impl Remembered {
    fn is_stopping(&self) -> bool {
        matches!(self.instance.phase, InstancePhase::Stopping { .. })
    }

    /// What was told to stop and cannot be looked at since is stopping: it does not count for the size of its set, and a
    /// set that is told a size with it would grow.
    fn presume(&mut self, now: Timestamp) {
        let lives = matches!(self.instance.phase, InstancePhase::Starting | InstancePhase::Running { .. });
        if self.told_to_stop && lives {
            self.instance.phase = InstancePhase::Stopping { until: now };
        }
    }
}

/// The platform has nothing against it. A platform without a notion of readiness has nothing once it runs.
fn is_ready(instance: &Instance) -> bool {
    matches!(instance.phase, InstancePhase::Running { ready } if ready != Some(false))
}

/// What is remembered of a workload from look to look.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) instances: BTreeMap<InstanceId, Remembered>,
    sets: Vec<SetId>,
    /// Places that were looked at at least once.
    pub(super) places: BTreeSet<Place>,
    /// Sizes that sets were told while not every place was looked at since.
    told: BTreeMap<SetId, Told>,
    settled: bool,
}

/// A size that a set was told, and how many of its instances were seen since, at most.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    size: u32,
    seen: u32,
}

impl Memory {
    /// Takes in one look. What was last seen at a place that is unknown now is kept.
    pub(super) fn take_in(&mut self, view: &WorkloadView, now: Timestamp) {
        let unknown: Vec<&Place> = unknown_places(view).map(|(place, _)| place).collect();
        let mut instances = std::mem::take(&mut self.instances);
        for set in &view.sets {
            for instance in &set.instances {
                let mut remembered = instances
                    .remove(&instance.id)
                    .unwrap_or_else(|| Remembered::new(set.set.clone(), instance.clone(), now));
                remembered.follow(instance, unknown.contains(&&instance.place), now);
                self.instances.insert(instance.id.clone(), remembered);
            }
        }
        instances.retain(|_, remembered| unknown.contains(&&remembered.instance.place));
        for remembered in instances.values_mut() {
            remembered.unknown = true;
            remembered.presume(now);
        }
        self.instances.extend(instances);
        let known = view.places.iter().filter(|place| place.status == PlaceStatus::Known);
        self.places.extend(known.map(|place| place.place.clone()));
        self.sets = view.sets.iter().map(|set| set.set.clone()).collect();
        if unknown.is_empty() {
            self.told.clear();
        }
        for (set, told) in &mut self.told {
            let of_set = self.instances.values().filter(|one| one.set == *set && !one.is_stopping());
            told.seen = told.seen.max(u32::try_from(of_set.count()).unwrap_or(u32::MAX));
        }
    }

    /// Instances of a set that may be where nobody can look.
    pub(super) fn hidden(&self, set: &SetId) -> u32 {
        self.told.get(set).map_or(0, |told| told.size.saturating_sub(told.seen))
    }

    /// The target was told something, and may have done it; surely if it said so. Until every place is looked at again,
    /// whom a command that was taken names is stopping, and what was to be started may be there.
    pub(super) fn told(&mut self, command: &Command, surely: bool) {
        match command {
            Command::Apply(spec) if surely => {
                self.stopping(|id, set| *set == spec.set && spec.remove_first.contains(id));
                self.told.insert(spec.set.clone(), Told { size: spec.replicas, seen: 0 });
            }
            Command::Apply(spec) => {
                let told = self.told.entry(spec.set.clone()).or_default();
                told.size = told.size.max(spec.replicas);
            }
            Command::Remove(removed) if surely => {
                self.stopping(|_, set| set == removed);
                self.told.remove(removed);
            }
            _ => {}
        }
    }

    fn stopping(&mut self, is_named: impl Fn(&InstanceId, &SetId) -> bool) {
        for (id, remembered) in &mut self.instances {
            remembered.told_to_stop |= is_named(id, &remembered.set);
        }
    }

    /// After the first look at everything: the instances that serve are trusted, which is to say that their first
    /// success makes them ready. Those that come later have to earn it.
    pub(super) fn trust_those_that_serve(&mut self, look: &Look, stable: Option<&SetId>, whole_sets: bool) {
        if self.settled || !matches!(look.target, Seen::Known(_)) {
            return;
        }
        let split = match &look.traffic {
            Some(Seen::Known(view)) => Some(&view.split),
            Some(Seen::Unknown { .. }) => return,
            None => None,
        };
        for remembered in self.instances.values_mut() {
            remembered.trusted = match split {
                Some(split) => in_rotation(split, remembered, whole_sets),
                None => stable == Some(&remembered.set),
            };
        }
        self.settled = true;
    }

    pub(super) fn sets(&self) -> Vec<SetId> {
        let mut sets = self.sets.clone();
        sets.extend(self.instances.values().map(|remembered| remembered.set.clone()));
        sets.extend(self.told.keys().cloned());
        sets.sort();
        sets.dedup();
        sets
    }
}

pub(super) fn unknown_places(view: &WorkloadView) -> impl Iterator<Item = (&Place, &String)> {
    view.places.iter().filter_map(|place| match &place.status {
        PlaceStatus::Known => None,
        PlaceStatus::Unknown { why } => Some((&place.place, why)),
    })
}
