//! One set takes the place of the others with an interruption: maintenance on, others down, set up, maintenance off.
//! The way of `recreate` in both directions.

use super::{
    Command, Decision, InstanceSeen, SetSeen, Situation, WaitReason,
    exchange::{Exchange, exchange},
    gate, provision, traffic,
};
use crate::model::{AttachPoint, Maintenance, SetId, Split};

/// The next move, or `None` once `to` is whole, alone and serving.
pub(super) fn interrupt(s: &Situation<'_>, to: &SetId, page: &Maintenance) -> Option<Decision> {
    let others: Vec<_> = s.sets().iter().filter(|set| set.set != *to).collect();
    if !others.is_empty() {
        return Some(take_down(s, &others, page));
    }
    if let Some(decision) = provision::provision(s, to, s.replicas()) {
        return Some(decision);
    }
    if s.state.is_forward()
        && *to == s.state.candidate
        && !is_served(s)
        && let Some(decision) = gate::pass(s, AttachPoint::BeforeTraffic, 0)
    {
        return Some(decision);
    }
    if s.tally(to).size > s.replicas() {
        return exchange(s, Exchange { to, goal: s.replicas(), spare: None });
    }
    traffic::serve(s, &[(to, s.replicas())], &[], "the set that is up serves").or_else(|| traffic::proven(s))
}

fn is_served(s: &Situation<'_>) -> bool {
    s.traffic().is_some_and(|traffic| traffic.split.share(&s.state.candidate).is_some())
}

fn take_down(s: &Situation<'_>, others: &[&SetSeen], page: &Maintenance) -> Decision {
    clear_rotation(s, others, Split::Maintenance(page.clone()))
        .unwrap_or_else(|| remove_sets(s, others, "take down what is replaced"))
}

/// The next move until nothing serves and requests to these sets have ended; `None` then. Without a router at once.
pub(super) fn clear_rotation(s: &Situation<'_>, leaving: &[&SetSeen], empty: Split) -> Option<Decision> {
    let traffic = s.traffic()?;
    let is_clear = match (&traffic.split, &empty) {
        (Split::Maintenance(_), _) => true,
        (Split::Serve { shares, .. }, Split::Serve { .. }) => shares.is_empty(),
        (Split::Serve { .. }, Split::Maintenance(_)) => false,
    };
    if !is_clear {
        let commands = vec![Command::Shift(empty)];
        return Some(Decision::Act { commands, why: "nothing may serve while sets change".into() });
    }
    let running = leaving.iter().flat_map(|set| set.instances.iter().filter(|i| i.counts()));
    traffic::proven(s).or_else(|| traffic::drained(s, running))
}

/// Removes sets, and waits until they are gone.
pub(super) fn remove_sets(s: &Situation<'_>, sets: &[&SetSeen], why: &'static str) -> Decision {
    let is_up = |set: &&&SetSeen| {
        set.instances.is_empty() || set.instances.iter().any(|i| !i.is_stopping() && !i.unknown)
    };
    let commands: Vec<_> = sets.iter().filter(is_up).map(|set| Command::Remove(set.set.clone())).collect();
    if !commands.is_empty() {
        return Decision::Act { commands, why: why.into() };
    }
    if let Some(place) = s.seen.unknown_places.first() {
        return s.wait(WaitReason::TargetUnknown { why: format!("{}: {}", place.place, place.why) });
    }
    let stopping =
        sets.iter().flat_map(|set| &set.instances).filter(|i| InstanceSeen::is_stopping(i)).count();
    s.wait(WaitReason::Stopping { instances: u32::try_from(stopping).unwrap_or(u32::MAX) })
}
