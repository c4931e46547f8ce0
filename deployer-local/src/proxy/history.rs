//! Counters of earlier moments, so that counts over an interval are differences.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use deployer_core::ports::Counts;

use super::Histogram;

/// Seconds are kept for two minutes, ten seconds for an hour: about 350 KB for a set that is always asked, 25 KB for
/// one that never is.
const FINE: usize = 120;
const COARSE: usize = 360;
const COARSE_STEP: Duration = Duration::from_secs(10);

/// The counters of one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) total: u64,
    pub(super) bad: u64,
    /// Shared with the moment before if nothing came in between.
    pub(super) time: Arc<Histogram>,
}

/// Snapshots of one set, oldest first.
#[derive(Debug)]
pub(super) struct History {
    coarse: VecDeque<Snapshot>,
    fine: VecDeque<Snapshot>,
}

impl History {
    /// Begins with all counters at zero.
    pub(super) fn new(now: Instant) -> Self {
        let zero = Snapshot { at: now, total: 0, bad: 0, time: Arc::default() };
        Self { coarse: VecDeque::from([zero.clone()]), fine: VecDeque::from([zero]) }
    }

    /// The last counters, if the total is still the same: then so are they.
    pub(super) fn unchanged(&self, now: Instant, total: u64, bad: u64) -> Option<Snapshot> {
        let last = self.fine.back().filter(|last| last.total == total && last.bad == bad)?;
        Some(Snapshot { at: now, ..last.clone() })
    }

    /// Adds the counters of now.
    pub(super) fn push(&mut self, snapshot: Snapshot) {
        let due = self.coarse.back().is_none_or(|last| snapshot.at - last.at >= COARSE_STEP);
        if due {
            push_bounded(&mut self.coarse, snapshot.clone(), COARSE);
        }
        push_bounded(&mut self.fine, snapshot, FINE);
    }

    /// What was counted between the oldest moment that is at most `interval` ago and `current`. An interval shorter
    /// than the time since the last snapshot reaches back to that one.
    pub(super) fn counts(&self, current: &Snapshot, interval: Duration) -> Counts {
        let young = |snapshot: &&Snapshot| current.at.saturating_duration_since(snapshot.at) <= interval;
        let in_fine = self.fine.iter().find(young);
        let in_coarse = self.coarse.iter().find(young);
        let base = match (in_coarse, in_fine) {
            (Some(coarse), Some(fine)) => Some(if coarse.at < fine.at { coarse } else { fine }),
            (coarse, fine) => coarse.or(fine).or(self.fine.back()),
        };
        let Some(base) = base else { return Counts::default() };
        Counts {
            total: current.total.saturating_sub(base.total),
            bad: current.bad.saturating_sub(base.bad),
            p99_micros: current.time.since(&base.time).p99_micros(),
        }
    }
}

fn push_bounded(queue: &mut VecDeque<Snapshot>, snapshot: Snapshot, limit: usize) {
    if queue.len() == limit {
        queue.pop_front();
    }
    queue.push_back(snapshot);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(at: Instant, total: u64) -> Snapshot {
        let mut time = Histogram::default();
        for _ in 0..total {
            time.record(Duration::from_millis(1));
        }
        Snapshot { at, total, bad: total / 10, time: Arc::new(time) }
    }

    #[test]
    fn an_interval_is_the_difference_to_the_oldest_moment_within_it() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut history = History::new(start);
        for second in 1..=600 {
            history.push(snapshot(at(second), second * 10));
        }
        let now = snapshot(at(600) + Duration::from_millis(500), 6005);
        let total = |interval| history.counts(&now, Duration::from_secs(interval)).total;
        assert_eq!(total(1), 5, "one snapshot is half a second old");
        assert_eq!(total(10), 95);
        assert_eq!(total(119), 1185);
        assert_eq!(total(300), 2905, "beyond two minutes steps are ten seconds");
        assert_eq!(total(10_000), 6005);
        let counts = history.counts(&now, Duration::from_secs(10));
        assert_eq!(counts.bad, 600 - 591);
        assert!(counts.p99_micros.unwrap() >= 1000);
        assert_eq!(history.counts(&now, Duration::ZERO).total, 5, "never longer ago than the last snapshot");
        assert!(history.fine.len() <= FINE && history.coarse.len() <= COARSE);
    }
}
