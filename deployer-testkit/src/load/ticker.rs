//! The schedule: which request is due when. Nothing that a server does can change it.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

/// When each request is due: request `n` at `n / rate` seconds after the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) start: Instant,
    pub(super) rate: u32,
    pub(super) maximum: Duration,
}

impl Schedule {
    /// From the start, when this request is due.
    pub(super) fn due(&self, request: u64) -> Duration {
        let nanos = u128::from(request) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Asks a schedule to end before its maximum.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<Mutex<Option<Instant>>>);

impl Stop {
    /// No request after this moment. The first call counts.
    pub(super) fn now(&self) {
        self.0.lock().get_or_insert_with(Instant::now);
    }

    fn asked(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

/// Sends the number of each request when it is due, on a thread of its own: a timer of the runtime is a millisecond
/// coarse, which would be the largest part of a local latency. Returns after how long the schedule ended.
///
/// After a stop the requests that were due before it are sent nevertheless: a thread that was too slow to do so in
/// time must not make the schedule shorter.
pub(super) fn run(schedule: Schedule, stop: &Stop, due: &UnboundedSender<u64>) -> Duration {
    for request in 0.. {
        let at = schedule.due(request);
        if at >= schedule.maximum {
            break;
        }
        loop {
            let stopped = stop.asked().map(|moment| moment.saturating_duration_since(schedule.start));
            if let Some(end) = stopped.filter(|end| *end < at) {
                return end;
            }
            let left = at.saturating_sub(schedule.start.elapsed());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        if due.send(request).is_err() {
            return schedule.start.elapsed();
        }
    }
    wait_for_the_end(schedule, stop)
}

/// The last request is due before the maximum; the run lasts until the maximum.
fn wait_for_the_end(schedule: Schedule, stop: &Stop) -> Duration {
    loop {
        if let Some(moment) = stop.asked() {
            return moment.saturating_duration_since(schedule.start).min(schedule.maximum);
        }
        let left = schedule.maximum.saturating_sub(schedule.start.elapsed());
        if left.is_zero() {
            return schedule.maximum;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(schedule: Schedule, stop: &Stop) -> (u64, Duration) {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let end = run(schedule, stop, &sender);
        drop(sender);
        let mut count = 0;
        while let Some(request) = receiver.blocking_recv() {
            assert_eq!(request, count, "requests are due in order");
            count += 1;
        }
        (count, end)
    }

    #[test]
    fn the_schedule_has_as_many_requests_as_the_rate_says() {
        let schedule = Schedule { start: Instant::now(), rate: 1000, maximum: Duration::from_millis(100) };
        assert_eq!(ticks(schedule, &Stop::default()), (100, schedule.maximum));
        assert!(schedule.start.elapsed() >= schedule.maximum);
    }

    #[test]
    fn a_late_thread_does_not_make_the_schedule_shorter() {
        let start = Instant::now().checked_sub(Duration::from_millis(500)).unwrap();
        let schedule = Schedule { start, rate: 1000, maximum: Duration::from_secs(60) };
        let stop = Stop::default();
        stop.now();
        let (count, end) = ticks(schedule, &stop);
        assert!(count >= 500, "only {count} requests of a run that was 500 ms late");
        assert!(end >= Duration::from_millis(500) && end < Duration::from_secs(60), "{end:?}");
    }
}
