//! How many parts of the requests each set of an exchange gets.

use super::{Situation, invariant};
use crate::model::{InstanceId, Share, Split};

/// Whether requests are spread evenly over all members.
pub(super) fn is_plain(split: &Split) -> bool {
    match split {
        Split::Maintenance(_) => false,
        Split::Serve { shares, routes } => {
            routes.is_empty() && shares.iter().all(|share| share.weight as usize == share.members.len())
        }
    }
}

/// Spreads requests evenly over all members; where that asks more of a set than its verified instances can carry, over
/// the verified ones.
pub(super) fn weigh(s: &Situation<'_>, shares: &mut [Share]) {
    let well = |share: &Share| {
        let mut lookup = invariant::Lookup::new(s.set(&share.set).map_or(&[][..], |set| &set.instances));
        let mut is_well =
            |id: &InstanceId| lookup.find(id).is_some_and(|instance| s.is_verified(&share.set, instance));
        let count = share.members.iter().filter(|member| is_well(&member.instance)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    for share in &mut *shares {
        share.weight = u32::try_from(share.members.len()).unwrap_or(u32::MAX);
    }
    let total = shares.iter().map(|share| u64::from(share.weight)).sum();
    let is_overloaded = |share: &Share| {
        invariant::overload(s, &share.set, (u64::from(share.weight), total), well(share)).is_some()
    };
    if shares.iter().any(is_overloaded) && shares.iter().any(|share| well(share) > 0) {
        for share in &mut *shares {
            share.weight = well(share);
        }
    }
    hold_down(s, shares);
}

/// On the way back the new set keeps the share that it has where it would get a larger one.
fn hold_down(s: &Situation<'_>, shares: &mut [Share]) {
    let candidate = &s.state.candidate;
    if s.state.is_forward() || s.state.stable.as_ref() == Some(candidate) {
        return;
    }
    let Some(present) = s.traffic().map(|traffic| &traffic.split) else { return };
    let before = present.share(candidate).map_or(0, |share| u64::from(share.weight));
    let rest_before = present.total_weight() - before;
    let weights = |shares: &[Share], of_candidate: bool| -> u64 {
        let those = shares.iter().filter(|share| (share.set == *candidate) == of_candidate);
        those.map(|share| u64::from(share.weight)).sum()
    };
    let (own, rest) = (weights(shares, true), weights(shares, false));
    if rest == 0 {
        // Its share grows without our doing, its weight does not.
        let most = u32::try_from(before.max(1)).unwrap_or(u32::MAX);
        for share in shares {
            share.weight = share.weight.min(most);
        }
        return;
    }
    if own * rest_before <= before * rest {
        return;
    }
    let held: Vec<u64> = shares
        .iter()
        .map(
            |share| {
                if share.set == *candidate { before * rest } else { rest_before * u64::from(share.weight) }
            },
        )
        .collect();
    // In lowest terms: else the same split would be another one the next time.
    let divisor = held.iter().copied().fold(0, greatest_common_divisor).max(1);
    for (share, weight) in shares.iter_mut().zip(held) {
        share.weight = u32::try_from(weight / divisor).unwrap_or(u32::MAX);
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
