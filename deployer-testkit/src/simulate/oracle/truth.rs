//! What was true, judged when all is over: then it is known of which instances nobody could be sure when.

use std::{collections::BTreeSet, time::Duration};

use deployer_core::{
    journal::read,
    model::{InstanceId, Timestamp},
};

use super::{
    super::{
        journal::Books,
        record::{Facts, Record},
        scenario::{Scenario, release_id},
    },
    budget::budget,
};
use crate::world::{CallKind, Doubt, Effect, IncidentKind, World};

/// A secret that instances write into their logs. It must not get into a journal, an error or a report.
pub(in super::super) const CANARY: &str = "canary-7f3a-of-a-secret";

/// Judges what happened in the world from its beginning to now.
pub(in super::super) fn truth(record: &mut Record, scenario: &Scenario, world: &World) {
    let doubts = Doubts { all: world.doubts(), window: scenario.doubt(), scenario };
    for effect in world.effects() {
        if let Some((at, oracle, what)) = effect_of(record, &doubts, &effect) {
            found(record, at, oracle, what);
        }
    }
    for incident in world.incidents() {
        let doubted =
            |instance: &InstanceId| doubts.at(incident.at).contains(instance) || doubts.flaps(instance);
        let is_bad = match &incident.kind {
            IncidentKind::StoppedInRotation { .. } | IncidentKind::EmptyRotation => true,
            // Where nobody counts requests the settle time and the grace time of the target are all there is.
            IncidentKind::StoppedBusy { .. } => scenario.world.router.counts_in_flight,
            IncidentKind::RoutedToUnready { instance } | IncidentKind::RoutedToNothing { instance, .. } => {
                !doubted(instance)
            }
            IncidentKind::DiedInRotation { .. } => false,
        };
        if is_bad {
            found(record, incident.at, "traffic before life", format!("{:?}", incident.kind));
        }
    }
}

fn found(record: &mut Record, at: Timestamp, oracle: &'static str, what: String) {
    let earlier = record.broken.as_ref().is_some_and(|broken| broken.at <= at);
    if !earlier {
        record.broken = None;
        record.broken(oracle, what);
        if let Some(broken) = &mut record.broken {
            broken.at = at;
        }
    }
}

/// Capacity: what we do never leaves the budget, but for what we could not know.
fn effect_of(
    record: &Record,
    doubts: &Doubts<'_>,
    effect: &Effect,
) -> Option<(Timestamp, &'static str, String)> {
    let facts = record.facts.get(&effect.context.deployment)?;
    let strategy = &doubts.scenario.steps[facts.step].strategy;
    let (least, most) = facts.replicas;
    let (floor, ceiling) = (budget(strategy, least).0, budget(strategy, most).1);
    let (before, after) = (effect.before, effect.after);
    if effect.kind == CallKind::Apply && after.total > before.total && after.total > ceiling {
        let what = format!("{} instances became {}, at most {ceiling} may exist", before.total, after.total);
        return Some((effect.at, "capacity", what));
    }
    let kept = floor.min(before.available);
    if after.available >= kept || doubts.of_processes(record, effect.at) || doubts.flap_in(facts) {
        return None;
    }
    let mut doubted = doubts.at(effect.at);
    // Given up after its time, and working a moment later than that was seen.
    doubted.extend(facts.state.iter().flat_map(|state| &state.failed));
    let unsure = u32::try_from(doubted.len()).unwrap_or(u32::MAX);
    if after.available + unsure >= kept {
        return None;
    }
    let what = format!(
        "{} available instances became {}, at least {floor} must be, {unsure} are in doubt ({:?})",
        before.available, after.available, effect.kind
    );
    Some((effect.at, "capacity", what))
}

struct Doubts<'a> {
    all: Vec<Doubt>,
    window: Duration,
    scenario: &'a Scenario,
}

impl Doubts<'_> {
    /// Instances of which nobody could be sure at a moment.
    fn at(&self, at: Timestamp) -> BTreeSet<&InstanceId> {
        let all = self.all.iter().filter(|doubt| doubt.from <= at && doubt.until.after(self.window) >= at);
        all.map(|doubt| &doubt.instance).collect()
    }

    /// It is well and unwell in turn, so that nobody can ever be sure.
    fn flaps(&self, instance: &InstanceId) -> bool {
        let (set, _) = instance.as_str().rsplit_once('-').unwrap_or_default();
        let releases = (0..).zip(&self.scenario.behaviours);
        releases
            .filter(|(_, behaviour)| behaviour.flaps.is_some())
            .any(|(number, _)| release_id(number).as_str() == set)
    }

    /// One of the releases of a deployment does so, and what is left of others may.
    fn flap_in(&self, facts: &Facts) -> bool {
        let newest = self.scenario.steps[..=facts.step].iter().map(|step| step.release);
        newest.into_iter().any(|number| self.scenario.behaviours[number as usize].flaps.is_some())
    }

    /// Without a router a new process does not know for a while who works.
    fn of_processes(&self, record: &Record, at: Timestamp) -> bool {
        let is_new = |started: &Timestamp| *started <= at && started.after(self.window) >= at;
        !self.scenario.world.routed && record.started.iter().any(is_new)
    }
}

/// Journals hold what was written, whole and chained, and no secret.
pub(in super::super) async fn audit(record: &super::super::record::Shared, books: &Books) {
    for deployment in books.deployments() {
        let whole = books.audit(&deployment).await;
        let bytes = books.journal().bytes(&deployment).unwrap_or_default();
        let mut record = record.lock();
        if let Err(error) = whole {
            record.broken("audit", error.to_string());
        }
        if String::from_utf8_lossy(&bytes).contains(CANARY) {
            record.broken("secrets", format!("the journal of {deployment} has what an instance logged"));
        }
        // The last line is chained to all before it.
        let last = bytes.len().saturating_sub(66);
        record.fingerprint.bytes(&bytes[last..]);
        if record.lines.is_some() && read(&bytes, "memory").is_err() {
            record.broken("audit", format!("the journal of {deployment} cannot be read"));
        }
    }
}
