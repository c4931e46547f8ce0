//! Times in fixed buckets.

use std::time::Duration;

/// Four per power of two from 100 µs to 60 s, and one for all above: as the embedded proxy has them.
const BUCKETS: usize = 79;

/// 2^(0/4) to 2^(3/4) in units of 1/65536.
const QUARTERS: [u64; 4] = [65_536, 77_936, 92_682, 110_218];

/// Upper bounds in microseconds: 100 · 2^(k/4), rounded down; the last bucket has none.
const BOUNDS: [u64; BUCKETS - 1] = bounds();

const fn bounds() -> [u64; BUCKETS - 1] {
    let mut bounds = [0; BUCKETS - 1];
    let mut k = 0;
    while k < BUCKETS - 1 {
        bounds[k] = ((100 * QUARTERS[k % 4]) << (k / 4)) / 65_536;
        k += 1;
    }
    bounds
}

/// How often a time fell into each bucket; only buckets that hold something take memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Histogram {
    /// Buckets in order, each with its count.
    counts: Vec<(u8, u32)>,
}

impl Histogram {
    /// Adds one time.
    pub(super) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.add(u8::try_from(bucket).expect("there are 79 buckets"), 1);
    }

    /// Adds all times of another.
    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            self.add(*bucket, *count);
        }
    }

    /// The upper bound of the bucket that holds the 99th percentile, in microseconds: at most 19 % above the true
    /// value within 100 µs and 60 s. `None` without times.
    pub(super) fn p99_micros(&self) -> Option<u64> {
        let total: u64 = self.counts.iter().map(|(_, count)| u64::from(*count)).sum();
        let rank = (total * 99).div_ceil(100);
        let mut seen = 0;
        let (bucket, _) = self.counts.iter().find(|(_, count)| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(BOUNDS.get(usize::from(*bucket)).copied().unwrap_or(BOUNDS[BUCKETS - 2]))
    }

    fn add(&mut self, bucket: u8, times: u32) {
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(index) => self.counts[index].1 = self.counts[index].1.saturating_add(times),
            Err(index) => self.counts.insert(index, (bucket, times)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_never_below_and_at_most_a_fifth_above() {
        for micros in [1, 100, 101, 999, 1000, 4321, 250_000, 59_000_000] {
            let mut times = Histogram::default();
            assert_eq!(times.p99_micros(), None);
            times.record(Duration::from_micros(micros));
            let p99 = times.p99_micros().unwrap();
            assert!(p99 >= micros && p99 <= (micros.max(100) * 119).div_ceil(100), "{micros}: {p99}");
        }
        let mut times = Histogram::default();
        times.record(Duration::MAX);
        assert!(times.p99_micros().unwrap() >= 59_000_000);
    }

    #[test]
    fn one_in_a_hundred_does_not_matter_and_two_do() {
        let mut times = Histogram::default();
        for _ in 0..98 {
            times.record(Duration::from_millis(1));
        }
        let mut slow = Histogram::default();
        slow.record(Duration::from_secs(1));
        times.merge(&slow);
        assert!(times.p99_micros().unwrap() > 900_000, "1 of 99");
        for _ in 0..2 {
            times.record(Duration::from_millis(1));
        }
        assert!(times.p99_micros().unwrap() < 2000, "1 of 101");
        times.merge(&slow);
        assert!(times.p99_micros().unwrap() > 900_000, "2 of 102");
    }
}
