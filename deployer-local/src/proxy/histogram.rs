//! Times in fixed buckets, so that histograms of any two moments and processes can be added and subtracted.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// How many buckets a [`Histogram`] has: four per power of two from 100 µs to 60 s, and one for all above.
pub const BUCKETS: usize = 79;

/// Upper bounds in microseconds: 100 · 2^(k/4), rounded; the last bucket has none.
const BOUNDS: [u32; BUCKETS - 1] = bounds();

/// 2^(0/4) to 2^(3/4) in units of 1/65536.
const QUARTERS: [u64; 4] = [65_536, 77_936, 92_682, 110_218];

const fn bounds() -> [u32; BUCKETS - 1] {
    let mut bounds = [0; BUCKETS - 1];
    let mut k = 0;
    while k < BUCKETS - 1 {
        let value = ((100 * QUARTERS[k % 4]) << (k / 4)) / 65_536;
        #[expect(clippy::cast_possible_truncation, reason = "100 · 2^(77/4) is below 2^26")]
        {
            bounds[k] = value as u32;
        }
        k += 1;
    }
    bounds
}

/// How often a time fell into each bucket. Bucket 0 holds up to 100 µs, bucket k up to 100 µs · 2^(k/4), the last
/// everything above 60 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS] }
    }
}

impl Histogram {
    /// Counts of all buckets, in order. One from another version may have another number of them.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many times were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds one time.
    pub fn record(&mut self, time: Duration) {
        self.counts[bucket(time)] += 1;
    }

    /// Adds all times of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// What was counted since `earlier`, a snapshot of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        Self { counts: self.counts.iter().zip(before).map(|(now, then)| now.saturating_sub(then)).collect() }
    }

    /// The upper bound of the bucket that holds the `quantile` (0 to 1) of all times, in microseconds: at most 19 %
    /// above the true value within 100 µs and 60 s. `None` without times.
    pub fn quantile_micros(&self, quantile: f64) -> Option<u64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank within the total; off by one above 2^52 requests does not matter"
        )]
        let rank = ((total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let last = BOUNDS[BUCKETS - 2];
        index.map(|index| u64::from(BOUNDS.get(index).copied().unwrap_or(last)))
    }

    /// The 99th percentile in microseconds.
    pub fn p99_micros(&self) -> Option<u64> {
        self.quantile_micros(0.99)
    }
}

/// The counters behind a [`Histogram`]; they only grow.
#[derive(Debug)]
pub(super) struct AtomicHistogram([AtomicU64; BUCKETS]);

impl Default for AtomicHistogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl AtomicHistogram {
    pub(super) fn record(&self, time: Duration) {
        self.0[bucket(time)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Histogram {
        Histogram { counts: self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect() }
    }
}

fn bucket(time: Duration) -> usize {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    BOUNDS.partition_point(|bound| *bound < micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_run_from_100_microseconds_to_60_seconds() {
        assert_eq!(BOUNDS[..5], [100, 118, 141, 168, 200]);
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
        let last = BOUNDS[BUCKETS - 2];
        assert!((60_000_000..72_000_000).contains(&last), "{last}");
        assert!(BOUNDS[BUCKETS - 3] < 60_000_000);
    }

    #[test]
    fn a_quantile_is_never_below_and_at_most_a_fifth_above() {
        for micros in [101, 150, 999, 12_345, 1_000_000, 59_000_000] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_micros(micros));
            let p99 = histogram.p99_micros().unwrap();
            assert!(p99 >= micros && p99 * 100 <= micros * 120, "{micros} read as {p99}");
        }
        assert_eq!(Histogram::default().p99_micros(), None);
    }

    #[test]
    fn differences_and_sums() {
        let mut before = Histogram::default();
        for _ in 0..990 {
            before.record(Duration::from_millis(1));
        }
        let mut after = before.clone();
        for _ in 0..10 {
            after.record(Duration::from_secs(100));
        }
        assert_eq!(after.since(&before).total(), 10);
        assert!(after.quantile_micros(0.99).unwrap() < 1200);
        assert!(after.quantile_micros(0.995).unwrap() > 60_000_000);
        before.merge(&after.since(&before));
        assert_eq!(before, after);
    }
}
