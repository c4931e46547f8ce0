//! Time that only passes when a test lets it.

use std::time::Duration;

use async_trait::async_trait;
use deployer_core::{model::Timestamp, ports::Clock};
use tokio::time::Instant;

/// A clock that reads tokio's time. In a runtime whose time is paused (`start_paused = true`, feature `test-util` of
/// tokio) it jumps to the next deadline whenever every task waits, so hours pass in no time and in the same order in
/// every run; `tokio::time::advance` moves it by hand. In an ordinary runtime it is an ordinary clock.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use deployer_core::ports::Clock;
/// use deployer_testkit::TestClock;
///
/// let clock = TestClock::new();
/// assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00.000Z");
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct TestClock {
    start: Instant,
}

impl TestClock {
    /// Where every test clock starts: the first moment of 2026, UTC.
    pub const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    /// Starts at [`START`](Self::START). With paused time it has to be made inside that runtime.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Self::START.after(self.start.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn hours_pass_in_no_time() {
        let real = std::time::Instant::now();
        let clock = TestClock::new();
        clock.sleep(Duration::from_secs(10 * 3600)).await;
        assert_eq!(clock.now(), TestClock::START.after(Duration::from_secs(10 * 3600)));
        assert!(real.elapsed() < Duration::from_secs(10));
    }
}
