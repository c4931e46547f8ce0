//! From shares of sets to numbers that nginx takes.

use deployer_core::model::Share;

/// The largest sum of weights: nginx adds them up in signed 64 bits, and some to spare.
const LARGEST_SUM: u128 = 1 << 53;

/// The weight of each member of each share in one upstream, so that every set gets its part and its members get equal
/// ones. `None` where the numbers would become too large. A share of weight 0, or without members, has 0.
pub(super) fn of_members(shares: &[Share]) -> Option<Vec<u64>> {
    let counted = |share: &&Share| share.weight > 0 && !share.members.is_empty();
    let multiple = shares.iter().filter(counted).try_fold(1u128, |multiple, share| {
        let count = share.members.len() as u128;
        let next = multiple / common(multiple, count) * count;
        (next <= LARGEST_SUM).then_some(next)
    })?;
    let scaled: Vec<u128> = shares
        .iter()
        .map(|share| match share.members.len() as u128 {
            0 => 0,
            count if share.weight > 0 => u128::from(share.weight) * multiple / count,
            _ => 0,
        })
        .collect();
    let divisor = scaled.iter().fold(0, |divisor, weight| common(divisor, *weight)).max(1);
    let reduced: Vec<u128> = scaled.iter().map(|weight| weight / divisor).collect();
    let sum: u128 =
        shares.iter().zip(&reduced).map(|(share, weight)| weight * share.members.len() as u128).sum();
    if sum > LARGEST_SUM {
        return None;
    }
    reduced.into_iter().map(|weight| u64::try_from(weight).ok()).collect()
}

/// The part of each share in hundredths of a percent: the differences of rounded boundaries, so that they add up to
/// 10 000 and a boundary depends only on what is before it. `None` where a share with a weight would get nothing.
pub(super) fn in_hundredths(shares: &[&Share]) -> Option<Vec<u16>> {
    let total: u128 = shares.iter().map(|share| u128::from(share.weight)).sum();
    let mut before = 0u128;
    let mut last_boundary = 0u128;
    let mut parts = Vec::with_capacity(shares.len());
    for share in shares {
        before += u128::from(share.weight);
        let boundary = (before * 20_000 + total) / (total * 2);
        let part = u16::try_from(boundary - last_boundary).ok().filter(|part| *part > 0)?;
        last_boundary = boundary;
        parts.push(part);
    }
    Some(parts)
}

fn common(one: u128, other: u128) -> u128 {
    let (mut one, mut other) = (one, other);
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use deployer_core::model::{InstanceId, Member, SetId};

    use super::*;

    fn share(set: &str, weight: u32, members: u16) -> Share {
        let member = |number: u16| Member {
            instance: InstanceId::new(format!("{set}-{number}")).unwrap(),
            address: Some(([127, 0, 0, 1], 1000 + number).into()),
        };
        Share { set: SetId::new(set).unwrap(), weight, members: (0..members).map(member).collect() }
    }

    #[test]
    fn a_set_gets_its_part_however_many_members_it_has() {
        let weights = |shares: &[Share]| of_members(shares).unwrap();
        assert_eq!(weights(&[share("a", 90, 3), share("b", 10, 1)]), [3, 1]);
        assert_eq!(weights(&[share("a", 100, 4)]), [1]);
        assert_eq!(weights(&[share("a", 99, 2), share("b", 1, 3)]), [297, 2]);
        assert_eq!(weights(&[share("a", 1, 2), share("b", 0, 3)]), [1, 0]);
        assert_eq!(weights(&[]), [] as [u64; 0]);
        assert_eq!(weights(&[share("a", u32::MAX, 1), share("b", 1, 1)]), [u64::from(u32::MAX), 1]);
    }

    #[test]
    fn parts_add_up_and_none_is_lost() {
        let parts = |shares: &[Share]| in_hundredths(&shares.iter().collect::<Vec<_>>());
        assert_eq!(parts(&[share("a", 1, 1), share("b", 99, 1)]), Some(vec![100, 9900]));
        let thirds = parts(&[share("a", 1, 1), share("b", 1, 1), share("c", 1, 1)]).unwrap();
        assert_eq!((thirds.iter().sum::<u16>(), thirds[0]), (10_000, 3333));
        assert_eq!(parts(&[share("a", 1, 1), share("b", 99_999, 1)]), None);
        assert_eq!(parts(&[share("a", 7, 1)]), Some(vec![10_000]));
    }
}
