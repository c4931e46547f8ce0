//! Passing over members that refuse connections.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// After a refused connection a member is passed over for 100 ms, doubling to 5 s with each further refusal, until a
/// connection succeeds.
#[derive(Debug)]
pub(super) struct Ejection {
    base: Instant,
    /// Microseconds after `base`; 0 for never ejected.
    until: AtomicU64,
    streak: AtomicU32,
}

impl Ejection {
    pub(super) fn new(now: Instant) -> Self {
        Self { base: now, until: AtomicU64::new(0), streak: AtomicU32::new(0) }
    }

    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && self.micros(now) < until
    }

    /// A connection was refused. Many at once count as one.
    pub(super) fn refused(&self, now: Instant) {
        let until = self.until.load(Ordering::Relaxed);
        if self.micros(now) < until {
            return;
        }
        let streak = self.streak.load(Ordering::Relaxed);
        let wait = FIRST.saturating_mul(1 << streak.min(10)).min(LONGEST);
        let next = self.micros(now + wait).max(1);
        if self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.streak.store(streak.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// A connection was taken.
    pub(super) fn connected(&self) {
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_five_seconds_and_forgets_after_a_success() {
        let mut now = Instant::now();
        let ejection = Ejection::new(now);
        assert!(!ejection.is_ejected(now));
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            ejection.refused(now);
            ejection.refused(now);
            let wait = Duration::from_millis(expected);
            assert!(ejection.is_ejected(now + wait.mul_f64(0.99)), "{expected}");
            now += wait;
            assert!(!ejection.is_ejected(now), "{expected}");
        }
        ejection.connected();
        ejection.refused(now);
        assert!(!ejection.is_ejected(now + Duration::from_millis(100)));
    }
}
