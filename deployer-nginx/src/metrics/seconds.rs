//! What was counted, second by second.

use std::{collections::BTreeMap, time::Duration};

use deployer_core::ports::Counts;

use super::histogram::Histogram;

/// Seconds are kept one by one for this long, then in tens.
const FINE: u64 = 120;
/// What is older is forgotten.
const KEPT: u64 = 60 * 60;
const STEP: u64 = 10;

/// What was counted for one set, second by second: two minutes of it in seconds, an hour in tens of seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Seconds {
    /// By the first second that each holds.
    counted: BTreeMap<u64, Counted>,
}

#[derive(Debug, Clone, Default)]
struct Counted {
    total: u64,
    bad: u64,
    times: Histogram,
}

impl Seconds {
    /// One answer, at this time since the epoch.
    pub(super) fn count(&mut self, at: Duration, bad: bool, time: Duration, now: Duration) {
        let (second, now) = (at.as_secs(), now.as_secs());
        if second + KEPT < now {
            return;
        }
        let counted = self.counted.entry(place(second, now)).or_default();
        counted.total += 1;
        counted.bad += u64::from(bad);
        counted.times.record(time);
    }

    /// What was counted over the last `interval`, rounded down to what is kept apart.
    pub(super) fn counts(&self, interval: Duration, now: Duration) -> Counts {
        let begin = now.saturating_sub(interval);
        let first = begin.as_secs() + u64::from(begin.subsec_nanos() > 0);
        let mut sum = Counted::default();
        for counted in self.counted.range(first..).map(|(_, counted)| counted) {
            sum.add(counted);
        }
        Counts { total: sum.total, bad: sum.bad, p99_micros: sum.times.p99_micros() }
    }

    /// Forgets what is old, and puts together what is less so.
    pub(super) fn age(&mut self, now: Duration) {
        let now = now.as_secs();
        self.counted = self.counted.split_off(&now.saturating_sub(KEPT));
        let recent = self.counted.split_off(&now.saturating_sub(FINE));
        let older = std::mem::replace(&mut self.counted, recent);
        for (second, counted) in older {
            self.counted.entry(place(second, now)).or_default().add(&counted);
        }
    }
}

impl Counted {
    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.bad += other.bad;
        self.times.merge(&other.times);
    }
}

fn place(second: u64, now: u64) -> u64 {
    if second + FINE < now { second / STEP * STEP } else { second }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_interval_holds_whole_seconds_at_most() {
        let mut seconds = Seconds::default();
        let now = s(1_000_000) + Duration::from_millis(500);
        for (at, bad) in [(999_990, false), (999_998, true), (999_999, false), (1_000_000, false)] {
            seconds.count(s(at), bad, Duration::from_millis(3), now);
        }
        let totals = |interval| {
            let counts = seconds.counts(interval, now);
            assert_eq!(counts.p99_micros.is_some(), counts.total > 0);
            (counts.total, counts.bad)
        };
        assert_eq!(totals(Duration::from_millis(499)), (0, 0));
        assert_eq!(totals(Duration::from_millis(500)), (1, 0));
        assert_eq!(totals(s(2)), (2, 0));
        assert_eq!(totals(s(3)), (3, 1));
        assert_eq!(totals(s(86_400)), (4, 1));
        assert_eq!(totals(Duration::MAX), (4, 1));
    }

    #[test]
    fn memory_is_bounded_and_what_is_kept_is_right() {
        let mut seconds = Seconds::default();
        let begin = 1_000_000;
        for second in begin..begin + 3 * KEPT {
            let now = s(second);
            seconds.count(now, second % 2 == 0, Duration::from_millis(1), now);
            seconds.age(now);
        }
        let now = s(begin + 3 * KEPT - 1);
        assert!(seconds.counted.len() as u64 <= FINE + KEPT / STEP + 2, "{}", seconds.counted.len());
        let hour = seconds.counts(s(86_400), now);
        assert!((KEPT - STEP..=KEPT + STEP).contains(&hour.total), "{hour:?}");
        assert_eq!(seconds.counts(s(60), now).total, 61);
        seconds.count(s(begin), true, Duration::ZERO, now);
        assert_eq!(seconds.counts(s(86_400), now), hour, "older than what is kept");
    }
}
