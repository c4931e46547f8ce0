//! What is counted for one set.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deployer_core::{model::SetId, ports::Counts};
use parking_lot::Mutex;

use super::{
    SetStats,
    histogram::AtomicHistogram,
    history::{History, Snapshot},
};

/// Counters of one set. They live as long as the proxy knows the set, in the split or not.
#[derive(Debug)]
pub(super) struct SetState {
    pub(super) id: SetId,
    total: AtomicU64,
    bad: AtomicU64,
    retried: AtomicU64,
    client_gone: AtomicU64,
    refused: AtomicU64,
    time: AtomicHistogram,
    /// Whose turn it is among the members.
    turn: AtomicUsize,
    history: Mutex<History>,
}

impl SetState {
    pub(super) fn new(id: SetId, now: Instant) -> Self {
        Self {
            id,
            total: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            client_gone: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            time: AtomicHistogram::default(),
            turn: AtomicUsize::new(0),
            history: Mutex::new(History::new(now)),
        }
    }

    pub(super) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The head of an answer came, or it is known that there will be none.
    pub(super) fn count(&self, bad: bool, time: Duration) {
        self.time.record(time);
        self.total.fetch_add(1, Ordering::Relaxed);
        if bad {
            self.count_bad();
        }
    }

    /// A request that is in the total already turned out to be bad.
    pub(super) fn count_bad(&self) {
        // Whoever sees this sees the total before it, so that `bad` is never above `total`.
        self.bad.fetch_add(1, Ordering::Release);
    }

    pub(super) fn count_retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_client_gone(&self) {
        self.client_gone.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> SetStats {
        let bad = self.bad.load(Ordering::Acquire);
        SetStats {
            set: self.id.clone(),
            total: self.total.load(Ordering::Relaxed),
            bad,
            retried: self.retried.load(Ordering::Relaxed),
            client_gone: self.client_gone.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            time: self.time.snapshot(),
        }
    }

    /// Remembers the counters of now for [`counts`](Self::counts).
    pub(super) fn remember(&self, now: Instant) {
        let mut history = self.history.lock();
        let bad = self.bad.load(Ordering::Acquire);
        let unchanged = history.unchanged(now, self.total.load(Ordering::Relaxed), bad);
        history.push(unchanged.unwrap_or_else(|| self.snapshot(now)));
    }

    pub(super) fn counts(&self, now: Instant, interval: Duration) -> Counts {
        let current = self.snapshot(now);
        self.history.lock().counts(&current, interval)
    }

    fn snapshot(&self, at: Instant) -> Snapshot {
        let bad = self.bad.load(Ordering::Acquire);
        Snapshot { at, total: self.total.load(Ordering::Relaxed), bad, time: Arc::new(self.time.snapshot()) }
    }
}
