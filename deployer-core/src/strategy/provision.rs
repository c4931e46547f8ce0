//! Bringing up a set beside the others.

use super::{Command, Decision, InstanceSeen, Situation, WaitReason, exchange::next_verification, traffic};
use crate::model::{SetId, SetSpec};

/// The next move until `size` instances of a set are verified; `None` once they are.
pub(super) fn provision(s: &Situation<'_>, set: &SetId, size: u32) -> Option<Decision> {
    let tally = s.tally(set);
    if let Some(decision) = replace_given_up(s, set) {
        return Some(decision);
    }
    if tally.size < size {
        let more = (size - tally.size).min(s.room());
        if more > 0 {
            let spec = SetSpec { set: set.clone(), replicas: tally.size + more, remove_first: Vec::new() };
            let why = format!("bring up {} instances of {set}", tally.size + more).into();
            return Some(Decision::Act { commands: vec![Command::Apply(spec)], why });
        }
        if s.sets().iter().any(|set| set.instances.iter().any(InstanceSeen::is_stopping)) {
            let instances = s.sets().iter().map(|set| s.tally_of(set).stopping).sum();
            return Some(s.wait(WaitReason::Stopping { instances }));
        }
        let why = format!("{} instances exist, at most {} may", s.total(), s.budget.max_total);
        return Some(s.wait(WaitReason::NoRoom { why }));
    }
    if tally.verified < size {
        let why = WaitReason::Verifying { set: set.clone(), verified: tally.verified, wanted: size };
        return Some(s.wait_until(why, next_verification(s, set)));
    }
    None
}

/// New instances that failed within what the failure ratio allows are replaced, as long as they serve nobody.
fn replace_given_up(s: &Situation<'_>, id: &SetId) -> Option<Decision> {
    if *id != s.state.candidate || s.state.failed.is_empty() {
        return None;
    }
    let set = s.set(id)?;
    let given_up = |i: &&InstanceSeen| {
        i.counts() && !i.in_rotation && s.state.failed.contains(&i.id) && !s.is_verified(id, i)
    };
    let remove_first: Vec<_> = set.instances.iter().filter(given_up).map(|i| i.id.clone()).collect();
    if remove_first.is_empty() {
        return None;
    }
    let leaving = set.instances.iter().filter(|i| remove_first.contains(&i.id));
    if let Some(decision) = traffic::proven(s).or_else(|| traffic::drained(s, leaving)) {
        return Some(decision);
    }
    if s.could_grow(set, remove_first.len())
        && let Some(place) = s.seen.unknown_places.first()
    {
        return Some(s.wait(WaitReason::TargetUnknown { why: format!("{}: {}", place.place, place.why) }));
    }
    let gone = u32::try_from(remove_first.len()).unwrap_or(u32::MAX);
    let spec = SetSpec { set: id.clone(), replicas: s.tally_of(set).size.saturating_sub(gone), remove_first };
    Some(Decision::Act { commands: vec![Command::Apply(spec)], why: "replace instances that failed".into() })
}
