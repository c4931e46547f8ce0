//! How well a set answers.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{CallContext, Result};
use crate::model::SetId;

/// How a set answered over an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that it was picked for.
    pub total: u64,
    /// Those that failed: status 5xx, or no answer at all.
    pub bad: u64,
    /// The 99th percentile of the time to the answer's head, in microseconds; `None` without requests.
    pub p99_micros: Option<u64>,
}

/// How well a set answers.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MetricSource: std::fmt::Debug + Send + Sync + 'static {
    /// Counts of one set over the last `interval`, at most.
    ///
    /// # Errors
    /// No data: the source could not be asked or knows nothing of the set. That is not the same as zero requests.
    async fn counts(&self, context: &CallContext, set: &SetId, interval: Duration) -> Result<Counts>;
}
