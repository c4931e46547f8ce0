//! Moves of traffic that strategies share: who is in the split, whether that is proven, whether requests have ended.

use super::{Command, Decision, InstanceSeen, SetSeen, Situation, Timer, WaitReason};
use crate::model::{InFlight, Member, Proof, Route, SetId, Share, Split};

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

/// Makes sure that exactly these sets serve, with these weights and routes: `None` if it is so.
pub(super) fn serve(
    s: &Situation<'_>,
    weights: &[(&SetId, u32)],
    routes: &[Route],
    why: &'static str,
) -> Option<Decision> {
    let traffic = s.traffic()?;
    let right = matches!(&traffic.split, Split::Serve { shares, routes: present } if present == routes
        && shares.len() == weights.len()
        && shares.iter().zip(weights).all(|(share, (set, weight))| share.set == **set && share.weight == *weight));
    let missing = |set: &SetSeen| {
        let digest = s.expected_digest(&set.set);
        set.instances.iter().any(|i| !i.in_rotation && super::situation::is_verified(s, digest, i))
    };
    if right && traffic.stale_members == 0 && !weights.iter().any(|(set, _)| s.set(set).is_some_and(missing))
    {
        return None;
    }
    let share = |(set, weight): &(&SetId, u32)| Share {
        set: (*set).clone(),
        weight: *weight,
        members: s.set(set).map_or_else(Vec::new, |seen| members_of(s, seen)),
    };
    let shares: Vec<_> = weights.iter().map(share).collect();
    if shares.iter().all(|share| share.members.is_empty()) {
        return Some(s.wait(WaitReason::NoRoom { why: "no instance can take requests".into() }));
    }
    let split = Split::Serve { shares, routes: routes.to_vec() };
    Some(Decision::Act { commands: vec![Command::Shift(split)], why: why.into() })
}

/// Verified instances, and those in rotation that are unwell: taking them out is for failure policy and router.
fn members_of(s: &Situation<'_>, set: &SetSeen) -> Vec<Member> {
    let digest = s.expected_digest(&set.set);
    let serves =
        |i: &&InstanceSeen| (i.in_rotation && i.counts()) || super::situation::is_verified(s, digest, i);
    set.instances.iter().filter(serves).map(member).collect()
}
