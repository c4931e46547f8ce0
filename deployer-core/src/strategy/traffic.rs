//! Moves of traffic that strategies share: who is in the split, whether that is proven, whether requests have ended.

use super::{Command, Decision, InstanceSeen, SetSeen, Situation, Timer, WaitReason, invariant};
use crate::model::{InFlight, Member, Proof, Route, SetId, Share, Split};

impl Share {
    fn is(&self, set: &SetId, weight: u32) -> bool {
        self.set == *set && self.weight == weight
    }
}

pub(super) fn member(instance: &InstanceSeen) -> Member {
    Member { instance: instance.id.clone(), address: instance.address }
}

/// Whether the data plane follows the accepted split: `None` if it does, else what to do about it.
pub(super) fn proven(s: &Situation<'_>) -> Option<Decision> {
    let traffic = s.traffic()?;
    match traffic.proof {
        Proof::Proven { .. } => None,
        Proof::Pending => Some(s.wait(WaitReason::SwitchUnproven)),
        Proof::CannotKnow => match s.state.settle {
            Some(timer) if timer.of == traffic.fingerprint && s.now() >= timer.until => None,
            Some(timer) if timer.of == traffic.fingerprint => {
                Some(s.wait_until(WaitReason::Settling, timer.until))
            }
            _ => {
                let timer = Timer { until: s.now().after(s.plan.settings.settle), of: traffic.fingerprint };
                Some(s.advance("the router cannot prove the switch: settle", |state| {
                    state.settle = Some(timer);
                }))
            }
        },
    }
}

/// Whether these instances, which are out of rotation, have no request left or had long enough: `None` if so.
pub(super) fn drained<'i>(
    s: &Situation<'_>,
    leaving: impl Iterator<Item = &'i InstanceSeen>,
) -> Option<Decision> {
    let traffic = s.traffic()?;
    let mut known = 0u32;
    let mut busy = false;
    for instance in leaving {
        match instance.in_flight {
            InFlight::Known(n) => {
                known = known.saturating_add(n);
                busy |= n > 0;
            }
            // Nobody can count them: the settle that has passed, and the target's own grace time, are all there is.
            InFlight::Unknown if !s.plan.router.as_ref().is_some_and(|router| router.counts_in_flight) => {}
            InFlight::Unknown => busy = true,
        }
    }
    if !busy {
        return None;
    }
    match s.state.drain {
        Some(timer) if timer.of == traffic.fingerprint && s.now() >= timer.until => None,
        Some(timer) if timer.of == traffic.fingerprint => {
            Some(s.wait_until(WaitReason::Draining { in_flight: Some(known) }, timer.until))
        }
        _ => {
            Some(s.advance("requests are still being answered: drain", |state| state.drain = drain_timer(s)))
        }
    }
}

/// The drain time for the split as it is now.
pub(super) fn drain_timer(s: &Situation<'_>) -> Option<Timer> {
    let traffic = s.traffic()?;
    Some(Timer { until: s.now().after(s.plan.settings.drain), of: traffic.fingerprint })
}

/// Makes sure that exactly these sets serve, with these weights and routes: `None` if it is so. A set of which nobody
/// can serve gets no share, nor does one that has none yet and too few instances for it.
pub(super) fn serve(
    s: &Situation<'_>,
    weights: &[(&SetId, u32)],
    routes: &[Route],
    why: &'static str,
) -> Option<Decision> {
    let traffic = s.traffic()?;
    let total = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let carries = |set: &SetId, weight: u32| {
        let overload = || invariant::overload(s, set, (u64::from(weight), total), s.tally(set).verified);
        traffic.split.share(set).is_some() || overload().is_none()
    };
    let serves = |(set, weight): &&(&SetId, u32)| {
        s.set(set).is_some_and(|seen| members(s, seen).next().is_some()) && carries(set, *weight)
    };
    let reachable = |route: &&Route| weights.iter().filter(serves).any(|(set, _)| **set == route.set);
    let right = match &traffic.split {
        Split::Maintenance(_) => false,
        Split::Serve { shares, routes: present } => {
            let mut wanted = weights.iter().filter(serves);
            let same = |share: &Share| wanted.next().is_some_and(|(set, weight)| share.is(set, *weight));
            present.iter().eq(routes.iter().filter(reachable))
                && shares.iter().all(same)
                && wanted.next().is_none()
        }
    };
    let missing = |(set, _): &(&SetId, u32)| {
        s.set(set).is_some_and(|seen| members(s, seen).any(|instance| !instance.in_rotation))
    };
    if right && traffic.stale_members == 0 && !weights.iter().filter(serves).any(missing) {
        return None;
    }
    let share = |(set, weight): &(&SetId, u32)| Share {
        set: (*set).clone(),
        weight: *weight,
        members: s.set(set).map_or_else(Vec::new, |seen| members(s, seen).map(member).collect()),
    };
    let shares: Vec<_> = weights.iter().filter(serves).map(share).collect();
    if shares.iter().all(|share| share.weight == 0) {
        return Some(s.wait(WaitReason::NoRoom { why: "no instance can take requests".into() }));
    }
    if let Some(set) = overloaded(s, &shares) {
        let why = format!("set {set} has too few verified instances for a larger share");
        return Some(s.wait(WaitReason::NoRoom { why }));
    }
    // Leftovers of earlier rollouts may be what keeps the service up.
    let verified: u32 = shares.iter().map(|share| s.tally(&share.set).verified).sum();
    if verified < s.budget.min_available.min(s.available()) {
        let why = "the sets that are to serve have too few verified instances".into();
        return Some(s.wait(WaitReason::NoRoom { why }));
    }
    let routes = routes.iter().filter(reachable).cloned().collect();
    Some(Decision::Act { commands: vec![Command::Shift(Split::Serve { shares, routes })], why: why.into() })
}

/// A set that these shares would ask too much of.
fn overloaded<'s>(s: &Situation<'_>, shares: &'s [Share]) -> Option<&'s SetId> {
    let total = shares.iter().map(|share| u64::from(share.weight)).sum();
    let asks_too_much = |share: &&Share| {
        let weight = (u64::from(share.weight), total);
        invariant::overload(s, &share.set, weight, s.tally(&share.set).verified).is_some()
    };
    shares.iter().find(asks_too_much).map(|share| &share.set)
}

/// Verified instances, and those in rotation that are unwell: taking them out is for failure policy and router.
fn members<'i>(s: &Situation<'_>, set: &'i SetSeen) -> impl Iterator<Item = &'i InstanceSeen> {
    let digest = s.expected_digest(&set.set);
    let s = *s;
    // On the way back nobody of the new set enters.
    let closed =
        !s.state.is_forward() && set.set == s.state.candidate && s.state.stable.as_ref() != Some(&set.set);
    let serves = move |i: &&InstanceSeen| {
        (i.in_rotation && i.counts()) || (!closed && super::situation::is_verified(&s, digest, i))
    };
    set.instances.iter().filter(serves)
}
