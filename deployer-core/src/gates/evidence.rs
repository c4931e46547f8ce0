//! How sure it is that too many requests fail, at any time and however often one looks.
//!
//! A confidence bound that is right for one look is wrong for a gate, which looks every few seconds and acts on the
//! first bound that is crossed: a 99 % bound looked at 90 times rejects about one good release in ten. So the gate does
//! not use a bound but an *e-value*, a bet against "the rate is at most the limit". Each request multiplies the stake
//! by a factor whose expectation is at most 1 as long as that is true, so by Ville's inequality the stake ever reaches
//! 1000 with a probability of at most 1 in 1000, whenever and however often one looks, and also where the rate
//! changes in between.
//!
//! Neither form allows for requests that fail in bursts; the least number of bad requests in the settings does.

use serde::{Deserialize, Serialize};

use crate::ports::Counts;

/// How many times the odds (or the rate of the other set) are that the bets are placed on, in equal parts.
const TIMES: [f64; 7] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// A false alarm in 1000.
const ENOUGH: f64 = 1000.0;

/// Whether it is proven that the rate behind `bad` of `total` is above `limit`, a fraction from 0 to below 1.
///
/// A bet on odds that are `g` times those of the limit `p` multiplies the stake by `g / (1 + p(g - 1))` for a bad
/// request and by `1 / (1 + p(g - 1))` for a good one.
pub(super) fn is_above(bad: u64, total: u64, limit: f64) -> bool {
    if limit <= 0.0 {
        return bad > 0;
    }
    e_value(TIMES.map(|times| float(bad) * times.ln() - float(total) * (limit * (times - 1.0)).ln_1p()))
        >= ENOUGH
}

/// What is remembered of a comparison of two sets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Comparing {
    /// Natural logarithms of the stakes, one for each of [`TIMES`].
    stakes: [f64; TIMES.len()],
    /// Bad and total requests of the candidate at the last look.
    candidate: (u64, u64),
    /// Bad and total requests of the stable set at the last look.
    stable: (u64, u64),
}

impl Comparing {
    /// Takes in the counts so far of both sets. The bad requests since the last look fall on the candidate in
    /// proportion to its share of the requests, if its rate is at most `max_ratio` times the other. Looks are never
    /// pooled, so neither a change of weights nor one of the common rate looks like a difference.
    pub(super) fn look(&mut self, candidate: Counts, stable: Counts, max_ratio: f64) {
        let more = |now: u64, before: u64| now.checked_sub(before);
        let news = (|| {
            Some((
                more(candidate.bad, self.candidate.0)?,
                more(candidate.total, self.candidate.1)?,
                more(stable.bad, self.stable.0)?,
                more(stable.total, self.stable.1)?,
            ))
        })();
        self.candidate = (candidate.bad, candidate.total);
        self.stable = (stable.bad, stable.total);
        // A source that forgot something since the last look has no news for us.
        let Some((candidate_bad, candidate_total, stable_bad, stable_total)) = news else { return };
        let total = float(candidate_total) + float(stable_total);
        if total <= 0.0 {
            return;
        }
        let share = float(candidate_total) / total;
        let bad = float(candidate_bad) + float(stable_bad);
        // The share of the bad requests that the candidate may have.
        let fair = max_ratio * share / (1.0 + (max_ratio - 1.0) * share);
        for (stake, times) in self.stakes.iter_mut().zip(TIMES) {
            *stake += float(candidate_bad) * times.ln() - bad * (fair * (times - 1.0)).ln_1p();
        }
    }

    /// Whether it is proven that the candidate is worse.
    pub(super) fn is_proven(&self) -> bool {
        e_value(self.stakes) >= ENOUGH
    }

    /// What was remembered, if it is still of use.
    pub(super) fn remembered(memory: &serde_json::Value) -> Self {
        // JSON has no numbers that are not finite: they are written as null and refused here.
        Self::deserialize(memory).unwrap_or_default()
    }
}

/// The mean of stakes that are given as logarithms.
fn e_value(stakes: [f64; TIMES.len()]) -> f64 {
    stakes.map(f64::exp).iter().sum::<f64>() / float(TIMES.len() as u64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of requests stay below 2^53, and the last bit does not matter"
)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    type Formula = fn(u64, u64, f64) -> bool;

    fn counts(bad: u64, total: u64) -> Counts {
        Counts { bad, total, p99_micros: None }
    }

    /// Deterministic numbers from 0 to below 1 (splitmix64).
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            float((z ^ (z >> 31)) >> 11) / float(1 << 53)
        }

        fn bad_of(&mut self, total: u64, rate: f64) -> u64 {
            (0..total).map(|_| u64::from(self.roll() < rate)).sum()
        }
    }

    const LOOKS: u64 = 60;
    const REQUESTS_A_LOOK: u64 = 40;

    /// Bad requests so far at each look, for many runs at one rate.
    fn runs(seed: u64, number: usize, rate: f64) -> Vec<Vec<u64>> {
        let mut dice = Dice(seed);
        let mut run = || {
            let mut bad = 0;
            (0..LOOKS)
                .map(|_| {
                    bad += dice.bad_of(REQUESTS_A_LOOK, rate);
                    bad
                })
                .collect()
        };
        (0..number).map(|_| run()).collect()
    }

    fn alarms(runs: &[Vec<u64>], limit: f64, formula: Formula) -> usize {
        let alarm = |run: &&Vec<u64>| {
            (1..).zip(run.iter()).any(|(look, bad)| formula(*bad, look * REQUESTS_A_LOOK, limit))
        };
        runs.iter().filter(alarm).count()
    }

    /// What a formula must and must not see. It has to be caught by this if it is wrong.
    fn audit(formula: Formula) -> Result<(), String> {
        let table = [
            (0, 0, 0.01, false),
            (0, 100_000, 0.01, false),
            (1, 1, 0.05, false),
            (5, 100, 0.05, false),
            (9, 100, 0.05, false),
            (1000, 100_000, 0.01, false),
            (5, 5, 0.01, true),
            (30, 100, 0.05, true),
            (60, 1000, 0.01, true),
            (2000, 100_000, 0.01, true),
            (100, 100, 0.5, true),
            (55, 100, 0.5, false),
            (1, 10, 0.0, true),
            (0, 10, 0.0, false),
        ];
        for (bad, total, limit, expected) in table {
            if formula(bad, total, limit) != expected {
                return Err(format!("{bad} of {total} against {limit}: expected {expected}"));
            }
        }
        let good = alarms(&runs(1, 2000, 0.05), 0.05, formula);
        if good > 6 {
            return Err(format!("{good} of 2000 runs exactly at the limit were called too bad"));
        }
        let bad = alarms(&runs(2, 200, 0.10), 0.05, formula);
        if bad < 190 {
            return Err(format!("only {bad} of 200 runs at twice the limit were found"));
        }
        Ok(())
    }

    fn wilson(bad: u64, total: u64, z: f64) -> f64 {
        let (n, p) = (float(total.max(1)), float(bad) / float(total.max(1)));
        let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        (p + z * z / (2.0 * n) - spread) / (1.0 + z * z / n)
    }

    #[test]
    fn the_formula_passes_the_audit() {
        audit(is_above).unwrap();
    }

    #[test]
    fn wrong_formulas_do_not() {
        let wrong: [(&str, Formula); 8] = [
            ("share against limit", |bad, total, limit| float(bad) > limit * float(total)),
            ("limit in percent", |bad, total, limit| is_above(bad, total, limit * 100.0)),
            ("rate in percent", |bad, total, limit| is_above(bad * 100, total, limit)),
            ("good for bad", |bad, total, limit| is_above(total - bad, total, limit)),
            ("95 % bound at each look", |bad, total, limit| wilson(bad, total, 1.645) > limit),
            ("99.9 % bound at each look", |bad, total, limit| wilson(bad, total, 3.09) > limit),
            ("the wrong end of the bound", |bad, total, limit| wilson(bad, total, -3.09) > limit),
            ("never", |_, _, _| false),
        ];
        for (name, formula) in wrong {
            assert!(audit(formula).is_err(), "not caught: {name}");
        }
    }

    /// Sum over all outcomes of probability times stake.
    fn expectation(total: u64, rate: f64, stake: impl Fn(u64) -> f64) -> f64 {
        let mut probability = (1.0 - rate).powf(float(total));
        let mut sum = 0.0;
        for bad in 0..=total {
            sum += probability * stake(bad);
            probability *= float(total - bad) / float(bad + 1) * rate / (1.0 - rate);
        }
        sum
    }

    #[test]
    fn the_bet_is_fair_at_the_limit_and_loses_below() {
        let stake = |limit: f64| {
            move |bad: u64| e_value(TIMES.map(|g| float(bad) * g.ln() - 50.0 * (limit * (g - 1.0)).ln_1p()))
        };
        for limit in [0.001, 0.05, 0.5, 0.9] {
            let fair = expectation(50, limit, stake(limit));
            assert!((fair - 1.0).abs() < 1e-9, "{limit}: {fair}");
            assert!(expectation(50, limit * 0.9, stake(limit)) < 1.0);
            assert!(expectation(50, (limit * 1.1).min(0.95), stake(limit)) > 1.0);
        }
    }

    #[test]
    fn the_comparison_is_fair_at_the_ratio_whatever_the_share() {
        for (candidate, stable, ratio) in [(100, 900, 1.0), (500, 500, 1.5), (10, 990, 3.0)] {
            let share = float(candidate) / float(candidate + stable);
            let fair = ratio * share / (1.0 + (ratio - 1.0) * share);
            let of = |rate: f64| {
                expectation(10, rate, |bad| {
                    let mut comparing = Comparing::default();
                    comparing.look(counts(bad, candidate), counts(10 - bad, stable), ratio);
                    e_value(comparing.stakes)
                })
            };
            assert!((of(fair) - 1.0).abs() < 1e-9, "{candidate} {stable} {ratio}: {}", of(fair));
            assert!(of(fair * 0.8) < 1.0 && of(fair * 1.2) > 1.0);
        }
    }

    /// The rate of both sets rises while the weight of the candidate does: pooled counts would call it bad.
    #[test]
    fn a_common_rise_is_no_difference() {
        let mut dice = Dice(7);
        let (mut candidate, mut stable) = ((0, 0), (0, 0));
        let mut comparing = Comparing::default();
        for look in 0..200_u64 {
            let (rate, share) = if look < 100 { (0.01, 50) } else { (0.10, 500) };
            candidate = (candidate.0 + dice.bad_of(share, rate), candidate.1 + share);
            stable = (stable.0 + dice.bad_of(1000 - share, rate), stable.1 + 1000 - share);
            comparing.look(counts(candidate.0, candidate.1), counts(stable.0, stable.1), 1.0);
        }
        assert!(float(candidate.0) / float(candidate.1) > 1.5 * float(stable.0) / float(stable.1));
        assert!(!comparing.is_proven());
        for _ in 0..20 {
            candidate = (candidate.0 + dice.bad_of(500, 0.2), candidate.1 + 500);
            stable = (stable.0 + dice.bad_of(500, 0.1), stable.1 + 500);
            comparing.look(counts(candidate.0, candidate.1), counts(stable.0, stable.1), 1.0);
        }
        assert!(comparing.is_proven());
    }

    #[test]
    fn memory_survives_and_nonsense_in_it_does_not() {
        let mut comparing = Comparing::default();
        comparing.look(counts(3, 10), counts(1, 90), 1.0);
        let memory = serde_json::to_value(&comparing).unwrap();
        assert_eq!(Comparing::remembered(&memory), comparing);
        assert!(memory.to_string().len() < 4096);
        comparing.stakes[0] = f64::NAN;
        for memory in [serde_json::to_value(&comparing).unwrap(), serde_json::json!({"stakes": 3})] {
            assert_eq!(Comparing::remembered(&memory), Comparing::default());
        }
    }

    #[test]
    fn a_source_that_forgets_adds_nothing() {
        let mut comparing = Comparing::default();
        comparing.look(counts(0, 1000), counts(0, 1000), 1.0);
        let before = comparing.stakes;
        comparing.look(counts(50, 60), counts(0, 2000), 1.0);
        assert_eq!(comparing.stakes.map(f64::to_bits), before.map(f64::to_bits));
        comparing.look(counts(90, 100), counts(0, 2040), 1.0);
        assert!(comparing.is_proven(), "and goes on from there");
    }
}
