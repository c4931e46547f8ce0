//! Which splits the live router refuses.

use deployer_core::{
    error::{Problem, Problems},
    model::{Share, Split},
};

use crate::config;

/// Weights are walked in doubles: the product of a weight and a sum of weights has to be exact.
const LARGEST_SUM: u64 = 1 << 26;

/// Whether nginx can follow a split, all problems at once.
pub(super) fn check(split: &Split) -> Result<(), Problems> {
    let mut problems = config::problems(split);
    let sum = split.total_weight() / u64::from(unit(split.shares()));
    if sum > LARGEST_SUM {
        let message = format!("the weights add up to {sum} in lowest terms; use at most {LARGEST_SUM}");
        problems.push(Problem::new("shares", message));
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// What all weights are multiples of; 1 if there are none.
pub(super) fn unit(shares: &[Share]) -> u32 {
    shares.iter().map(|share| share.weight).fold(0, greatest_common_divisor).max(1)
}

fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(weights: &[u32]) -> Split {
        let share = |(index, weight): (usize, &u32)| Share {
            set: format!("v{index}").parse().unwrap(),
            weight: *weight,
            members: vec![deployer_core::model::Member {
                instance: format!("v{index}-1").parse().unwrap(),
                address: Some(([127, 0, 0, 1], 4000).into()),
            }],
        };
        Split::Serve { shares: weights.iter().enumerate().map(share).collect(), routes: Vec::new() }
    }

    #[test]
    fn weights_are_taken_in_lowest_terms() {
        for (weights, expected) in
            [(&[90, 10][..], 10), (&[1, 99], 1), (&[0, 100], 100), (&[0, 0], 1), (&[], 1)]
        {
            assert_eq!(unit(split(weights).shares()), expected, "{weights:?}");
        }
        assert_eq!(check(&split(&[u32::MAX, u32::MAX])), Ok(()));
        let Problems(problems) = check(&split(&[u32::MAX, 1])).unwrap_err();
        assert_eq!(problems[0].at, "shares");
    }
}
