//! Latencies in buckets.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Latencies in logarithmic buckets, eight to each power of two from 1 µs up: a percentile is at most 12.5 % too
/// large and never too small. Constant size, so that a long run costs no memory.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max_micros: u64,
}

const BITS: u32 = 3;
const PER_POWER: u64 = 1 << BITS;
/// Up to 2^36 µs, about 19 hours; what is longer falls in the last bucket.
const BUCKETS: usize = 34 * 8;

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max_micros: 0 }
    }
}

impl Histogram {
    /// Takes in one latency.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(micros)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max_micros = self.max_micros.max(micros);
    }

    /// How many latencies were taken in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest one, exactly; zero if there is none.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_micros)
    }

    /// The latency that `per_mille` thousandths are not above: 500 for the median, 990 for the 99th percentile.
    /// Rounded up to the end of its bucket, at most [`max`](Self::max); zero without latencies.
    pub fn per_mille(&self, per_mille: u16) -> Duration {
        let share = u128::from(self.count) * u128::from(per_mille.min(1000));
        let rank = u64::try_from(share.div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(end_of(index).min(self.max_micros));
            }
        }
        self.max()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50", &self.per_mille(500))
            .field("p99", &self.per_mille(990))
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

fn bucket_of(micros: u64) -> usize {
    let index = if micros < PER_POWER {
        micros
    } else {
        let power = micros.ilog2() - BITS;
        u64::from(power) * PER_POWER + (micros >> power)
    };
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn end_of(index: usize) -> u64 {
    if index == BUCKETS - 1 {
        return u64::MAX;
    }
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    if index < 2 * PER_POWER {
        return index;
    }
    let power = index / PER_POWER - 1;
    ((index % PER_POWER + PER_POWER + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_do_not_overlap() {
        for micros in (0..5000).chain((1..30).map(|power| (1_u64 << power) + 3)) {
            let bucket = bucket_of(micros);
            assert!(micros <= end_of(bucket), "{micros} is above bucket {bucket}");
            assert!(bucket == 0 || micros > end_of(bucket - 1), "{micros} is below bucket {bucket}");
            assert!(end_of(bucket) <= micros + micros / 8, "bucket {bucket} is too wide for {micros}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_count_ranks() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.per_mille(990), Duration::ZERO);
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        let near = |got: Duration, want: u64| {
            let (got, want) = (got.as_micros(), u128::from(want) * 1000);
            got >= want && got <= want + want / 8
        };
        assert!(near(histogram.per_mille(500), 50), "{histogram:?}");
        assert!(near(histogram.per_mille(990), 99), "{histogram:?}");
        assert_eq!(histogram.per_mille(1000), Duration::from_millis(100));
        assert_eq!((histogram.max(), histogram.count()), (Duration::from_millis(100), 100));
    }
}
