//! What time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::model::Timestamp;

/// What time it is, and waiting for it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Now. Never goes back while the process lives, whatever is done to the wall clock.
    fn now(&self) -> Timestamp;

    /// Returns after `duration`.
    ///
    /// # Cancel safety
    /// Can be dropped at any time.
    async fn sleep(&self, duration: Duration);
}

/// The wall clock as it was when this value was made, moved on by the monotonic clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    wall: u64,
    start: Instant,
}

impl SystemClock {
    /// Starts at the wall time of now.
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: u64::try_from(since.as_millis()).unwrap_or(u64::MAX), start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall).after(self.start.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
