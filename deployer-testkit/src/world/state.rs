//! What is true in the world, and how time changes it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{Epoch, InstanceId, PinnedRelease, Place, ReleaseId, SetId, Split, Timestamp, WorkloadId},
    ports::{CallContext, Result},
};

use super::{
    Behaviour, Call, CallKind, CallOutcome, Doubt, Effect, Fault, Incident, IncidentKind, Population,
    WorldSettings,
    fault::Faults,
    instance::{FakeInstance, Leaving},
    population::History,
    random::Random,
    traffic::{self, Traffic},
};

pub(super) type SetKey = (WorkloadId, SetId);

#[derive(Debug, Clone)]
pub(super) struct FakeSet {
    /// `None` for an adopted one.
    pub(super) release: Option<PinnedRelease>,
    pub(super) digest: Arc<str>,
    pub(super) instances: Vec<FakeInstance>,
    /// To be forgotten once its last instance is gone.
    pub(super) removing: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: WorldSettings,
    pub(super) random: Random,
    /// Everything due until then has happened.
    pub(super) now: Timestamp,
    /// When something happens next that nobody has to ask for.
    pub(super) due: Option<Timestamp>,
    pub(super) sets: BTreeMap<SetKey, FakeSet>,
    /// Never reset: a name is never used twice.
    pub(super) names: BTreeMap<SetKey, u32>,
    pub(super) started: u16,
    pub(super) traffic: BTreeMap<WorkloadId, Traffic>,
    pub(super) target_epochs: BTreeMap<WorkloadId, Epoch>,
    pub(super) router_epochs: BTreeMap<WorkloadId, Epoch>,
    pub(super) unknown_places: BTreeMap<Place, String>,
    pub(super) behaviours: BTreeMap<ReleaseId, Behaviour>,
    pub(super) histories: BTreeMap<WorkloadId, History>,
    pub(super) incidents: Vec<Incident>,
    pub(super) effects: Vec<Effect>,
    pub(super) doubts: Vec<Doubt>,
    /// Since when places cannot be reached.
    pub(super) hidden_since: BTreeMap<Place, Timestamp>,
    pub(super) calls: Vec<Call>,
    pub(super) numbers: BTreeMap<CallKind, u64>,
    pub(super) faults: Faults,
}

impl State {
    pub(super) fn new(settings: WorldSettings, now: Timestamp) -> Self {
        Self {
            random: Random::new(settings.seed),
            settings,
            now,
            due: None,
            sets: BTreeMap::new(),
            names: BTreeMap::new(),
            started: 0,
            traffic: BTreeMap::new(),
            target_epochs: BTreeMap::new(),
            router_epochs: BTreeMap::new(),
            unknown_places: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            histories: BTreeMap::new(),
            incidents: Vec::new(),
            effects: Vec::new(),
            doubts: Vec::new(),
            hidden_since: BTreeMap::new(),
            calls: Vec::new(),
            numbers: BTreeMap::new(),
            faults: Faults::default(),
        }
    }

    /// Writes a call down, and says which number it is in the record and what will go wrong with it.
    pub(super) fn begin(
        &mut self,
        kind: CallKind,
        context: &CallContext,
        what: String,
    ) -> (usize, Option<Fault>) {
        let number = self.numbers.entry(kind).or_default();
        *number += 1;
        let fault = self.faults.take(kind, *number, &mut self.random);
        self.calls.push(Call {
            at: self.now,
            kind,
            number: *number,
            context: context.clone(),
            what,
            outcome: CallOutcome::Unfinished { done: false },
        });
        (self.calls.len() - 1, fault)
    }

    /// How long a call takes until it has its effect, and from then on until it answers.
    pub(super) fn latency(&mut self, kind: CallKind, call: usize) -> (Duration, Duration) {
        let latency = if kind == CallKind::Probe { self.settings.probe } else { self.settings.call };
        let whole = latency.draw(&mut self.random);
        match self.calls[call].number % 2 {
            _ if kind.writes() || !self.settings.looks_at_ends => (whole / 2, whole / 2),
            0 => (Duration::ZERO, whole),
            _ => (whole, Duration::ZERO),
        }
    }

    /// How a call goes.
    pub(super) fn note(&mut self, call: usize, outcome: CallOutcome) {
        self.calls[call].outcome = outcome;
    }

    /// How a call went; returns what it was about.
    pub(super) fn end(&mut self, call: usize, outcome: CallOutcome) -> String {
        self.note(call, outcome);
        self.calls[call].what.clone()
    }

    /// Lets everything happen that is due until `now`, each at its own moment.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while let Some(due) = self.due.filter(|due| *due <= now) {
            self.now = due;
            self.happen();
            self.admit();
            self.record();
        }
        self.now = self.now.max(now);
    }

    fn next_change(&self) -> Option<Timestamp> {
        let request = self.settings.request;
        let instances = self.sets.values().flat_map(|set| &set.instances);
        let instances = instances.filter_map(|instance| instance.next_change(self.now, request));
        instances.chain(self.traffic.values().filter_map(|traffic| traffic.next_change(self.now))).min()
    }

    /// Writes the population down where it changed, and when time changes something next. To be called after every
    /// change.
    pub(super) fn record(&mut self) {
        self.due = self.next_change();
        let workloads: Vec<WorkloadId> = self.sets.keys().map(|(workload, _)| workload.clone()).collect();
        for workload in
            self.histories.keys().cloned().chain(workloads).collect::<std::collections::BTreeSet<_>>()
        {
            let population = self.population(&workload);
            self.histories.entry(workload).or_default().record(population);
        }
    }

    pub(super) fn population(&self, workload: &WorkloadId) -> Population {
        let mut population = Population { at: self.now, available: 0, total: 0, in_rotation: 0 };
        for instance in self.sets_of(workload).flat_map(|(_, set)| &set.instances).filter(|one| one.exists())
        {
            population.total += 1;
            population.in_rotation += u32::from(instance.routed);
            let reached = instance.routed || !self.settings.routed;
            population.available += u32::from(reached && instance.works(self.now));
        }
        population
    }

    pub(super) fn sets_of(&self, workload: &WorkloadId) -> impl Iterator<Item = (&SetId, &FakeSet)> {
        self.sets.iter().filter(move |((of, _), _)| of == workload).map(|((_, set), value)| (set, value))
    }

    pub(super) fn find(&self, workload: &WorkloadId, id: &InstanceId) -> Option<(&SetId, &FakeInstance)> {
        self.sets_of(workload)
            .find_map(|(set, value)| value.instances.iter().find(|one| one.id == *id).map(|one| (set, one)))
    }

    pub(super) fn incident(&mut self, workload: &WorkloadId, kind: IncidentKind) {
        self.incidents.push(Incident { at: self.now, workload: workload.clone(), kind });
    }

    /// Tells an instance to stop, and notes what that does to requests.
    pub(super) fn stop(&mut self, key: &SetKey, id: &InstanceId) {
        let (level, request) = (self.settings.in_flight, self.settings.request);
        let (grace, by_member) = (self.settings.target.stop_grace, self.settings.router.members);
        let takes = self.settings.stop.draw(&mut self.random).min(grace);
        let now = self.now;
        let Some(instance) =
            self.sets.get_mut(key).and_then(|set| set.instances.iter_mut().find(|one| one.id == *id))
        else {
            return;
        };
        let in_flight = instance.in_flight(now, level, request);
        let accepted = self.traffic.get(&key.0).map(|traffic| &traffic.accepted);
        let follows = |split| traffic::sends_to(split, &key.1, instance, by_member);
        let reachable = instance.routed || accepted.is_some_and(follows);
        let until = now.after(grace);
        let gone_at = if instance.ignores_stop { until } else { now.after(takes) };
        instance.leaving = Some(Leaving { until, gone_at });
        // Where a share means the whole set the platform itself takes a stopping instance out and drains it.
        if !by_member || !self.settings.routed {
            return;
        }
        if reachable {
            self.incident(&key.0, IncidentKind::StoppedInRotation { instance: id.clone() });
        } else if in_flight > 0 {
            self.incident(&key.0, IncidentKind::StoppedBusy { instance: id.clone(), in_flight });
        }
    }

    /// An instance ends by itself.
    pub(super) fn die(&mut self, key: &SetKey, id: &InstanceId, reason: String) {
        let Some(set) = self.sets.get_mut(key) else { return };
        let Some(instance) = set.instances.iter_mut().find(|one| one.id == *id && one.exists()) else {
            return;
        };
        let hurts = instance.routed && instance.leaving.is_none();
        instance.ended = Some(reason);
        instance.routed = false;
        let now = self.now;
        self.doubts.push(Doubt { instance: id.clone(), from: now, until: now });
        if hurts {
            self.incident(&key.0, IncidentKind::DiedInRotation { instance: id.clone() });
        }
    }

    /// What is due exactly now.
    fn happen(&mut self) {
        let now = self.now;
        let due = self.sets.iter().flat_map(|(key, set)| set.instances.iter().map(move |one| (key, one)));
        let dying: Vec<(SetKey, InstanceId, String)> = due
            .filter(|(_, one)| one.is_live())
            .filter_map(|(key, one)| one.dies.as_ref().map(|dies| (key, one, dies)))
            .filter(|(_, _, (at, _))| *at <= now)
            .map(|(key, one, (_, reason))| (key.clone(), one.id.clone(), reason.clone()))
            .collect();
        for (key, id, reason) in dying {
            self.die(&key, &id, reason);
        }
        for set in self.sets.values_mut() {
            set.instances.retain(|one| one.leaving.is_none_or(|leaving| leaving.gone_at > now));
        }
        self.sets.retain(|_, set| !(set.removing && set.instances.is_empty()));
        let following: Vec<WorkloadId> = self
            .traffic
            .iter()
            .filter(|(_, traffic)| traffic.effective_at <= now && traffic.effective != traffic.accepted)
            .map(|(workload, _)| workload.clone())
            .collect();
        for workload in following {
            self.follow(&workload);
        }
    }

    /// The data plane begins to follow the split that was accepted last.
    pub(super) fn follow(&mut self, workload: &WorkloadId) {
        let (now, by_member) = (self.now, self.settings.router.members);
        let Some(traffic) = self.traffic.get_mut(workload) else { return };
        let answered = traffic::answers(&traffic.effective, by_member);
        let by = traffic.by.clone();
        let before = self.population(workload);
        let Some(traffic) = self.traffic.get_mut(workload) else { return };
        traffic.follow(now);
        let split = traffic.effective.clone();
        let mut kinds = Vec::new();
        if answered && !traffic::answers(&split, by_member) {
            kinds.push(IncidentKind::EmptyRotation);
        }
        for (key, set) in self.sets.iter_mut().filter(|((of, _), _)| of == workload) {
            for instance in set.instances.iter_mut().filter(|one| one.exists()) {
                let admitted = by_member || instance.works(now);
                let routed = admitted && traffic::sends_to(&split, &key.1, instance, by_member);
                if routed && !instance.routed && !instance.works(now) {
                    kinds.push(IncidentKind::RoutedToUnready { instance: instance.id.clone() });
                }
                if instance.routed && !routed {
                    instance.left_at = Some(now);
                }
                instance.routed = routed;
            }
        }
        kinds.extend(self.nowhere(workload, &split));
        for kind in kinds {
            self.incident(workload, kind);
        }
        if let Some(context) = by {
            let after = self.population(workload);
            self.effects.push(Effect { at: self.now, context, kind: CallKind::Shift, before, after });
        }
    }

    /// Where a share means the whole set the platform sends requests to those of it that work.
    pub(super) fn admit(&mut self) {
        if self.settings.router.members {
            return;
        }
        let now = self.now;
        for ((workload, id), set) in &mut self.sets {
            let Some(traffic) = self.traffic.get(workload) else { continue };
            for instance in &mut set.instances {
                let routed =
                    instance.works(now) && traffic::sends_to(&traffic.effective, id, instance, false);
                if instance.routed && !routed {
                    instance.left_at = Some(now);
                }
                instance.routed = routed;
            }
        }
    }

    /// Members of a split that do not exist.
    fn nowhere(&self, workload: &WorkloadId, split: &Split) -> Vec<IncidentKind> {
        if !self.settings.router.members {
            return Vec::new();
        }
        let members =
            split.shares().iter().flat_map(|share| share.members.iter().map(move |one| (share, one)));
        members
            .filter(|(share, member)| {
                let found = self.find(workload, &member.instance);
                !found.is_some_and(|(set, one)| *set == share.set && one.routed)
            })
            .map(|(share, member)| IncidentKind::RoutedToNothing {
                set: share.set.clone(),
                instance: member.instance.clone(),
            })
            .collect()
    }
}

/// Refuses an epoch older than the newest seen, and remembers it otherwise.
pub(super) fn fence(
    seen: &mut BTreeMap<WorkloadId, Epoch>,
    fences: bool,
    context: &CallContext,
    what: &str,
) -> Result<()> {
    let newest = seen.entry(context.workload.clone()).or_default();
    if fences && context.epoch < *newest {
        let message = format!("epoch {} is fenced: epoch {newest} has written", context.epoch);
        return Err(BackendError::new(ErrorKind::Conflict, what, message));
    }
    *newest = context.epoch.max(*newest);
    Ok(())
}
