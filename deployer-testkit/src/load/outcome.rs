//! What a load found out.

use std::{collections::BTreeMap, fmt, time::Duration};

use deployer_core::model::{Timestamp, settings::seconds};
use serde::{Deserialize, Serialize};

use super::{Failure, FailureKind, Histogram};

/// The answers of one version, as the header `x-release` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionResult {
    /// Answers that name this version.
    pub total: u64,
    /// Those of them that are failures.
    pub failed: u64,
    /// When its first answer was there, from the start of the load, in seconds.
    #[serde(with = "seconds")]
    pub first_answer: Duration,
    /// When its last answer was there, from the start of the load, in seconds.
    #[serde(with = "seconds")]
    pub last_answer: Duration,
}

/// What a load found out. `Display` is a compact table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadResult {
    /// When it started.
    pub started_at: Timestamp,
    /// How long requests were scheduled, in seconds.
    #[serde(with = "seconds")]
    pub duration: Duration,
    /// Requests a second that were asked for.
    pub rate: u32,
    /// All requests that were due; each ends as succeeded or failed.
    pub requests: u64,
    /// Requests answered with status 200 and the right body in time.
    pub succeeded: u64,
    /// All others that ended, the unsent ones included.
    pub failed: u64,
    /// Requests that have not ended: zero once the load is stopped.
    pub in_flight: u64,
    /// Failed requests by kind; kinds that did not occur are left out.
    pub failed_by_kind: BTreeMap<FailureKind, u64>,
    /// Answers by version; requests without an answer are in none.
    pub by_version: BTreeMap<String, VersionResult>,
    /// Time from the scheduled moment to the whole answer, of the requests that succeeded.
    pub latency: Histogram,
    /// The longest time without a successful answer, start and end of the load included: the interruption as a user
    /// sees it. Never less than the time between two requests. In seconds.
    #[serde(with = "seconds")]
    pub longest_gap: Duration,
    /// How often the server closed a kept connection while no request was on it. Not a failure: a client sees it
    /// before it sends.
    pub reopened: u64,
    /// GETs that were sent once more, where the load does that. Not a failure by itself.
    #[serde(default)]
    pub retried: u64,
    /// The first 20 failures.
    pub first_failures: Vec<Failure>,
}

impl LoadResult {
    /// Failures of one kind.
    pub fn failed_as(&self, kind: FailureKind) -> u64 {
        self.failed_by_kind.get(&kind).copied().unwrap_or(0)
    }

    /// Whether the run is valid, all requests have ended and none failed.
    pub fn is_lossless(&self) -> bool {
        self.failed == 0 && self.in_flight == 0 && self.is_valid()
    }

    /// Whether the load was what it claims to be: at least one request, and 95 % of those that were due really sent
    /// in time. The failures of an invalid run are counted nevertheless.
    pub fn is_valid(&self) -> bool {
        let sent = u128::from(self.requests.saturating_sub(self.failed_as(FailureKind::Unsent)));
        self.requests > 0 && sent * 100 >= u128::from(self.requests) * 95
    }

    /// Makes sure that no request failed and that the run is valid.
    ///
    /// # Panics
    /// With the whole table if a request failed, has not ended, or if the run is invalid.
    #[track_caller]
    pub fn assert_lossless(&self) {
        assert!(self.is_lossless(), "the load lost requests\n{self}");
    }
}

impl fmt::Display for LoadResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let validity = if self.is_valid() { "" } else { "   INVALID RUN: under 95 % sent in time" };
        writeln!(f, "failed {} of {}{validity}", self.failed, self.requests)?;
        writeln!(
            f,
            "  asked for {}/s over {:.1} s; longest gap {}; {} kept connections closed while idle; {} retried",
            self.rate,
            self.duration.as_secs_f64(),
            Millis(self.longest_gap),
            self.reopened,
            self.retried
        )?;
        writeln!(
            f,
            "  latency p50 {}  p99 {}  max {}",
            Millis(self.latency.per_mille(500)),
            Millis(self.latency.per_mille(990)),
            Millis(self.latency.max())
        )?;
        if self.in_flight > 0 {
            writeln!(f, "  {} not ended yet", self.in_flight)?;
        }
        for (kind, count) in &self.failed_by_kind {
            writeln!(f, "  {kind:<12} {count:>8}")?;
        }
        for (name, version) in &self.by_version {
            writeln!(
                f,
                "  version {name:<12} {:>8} answers, {} failed, from {:.3} s to {:.3} s",
                version.total,
                version.failed,
                version.first_answer.as_secs_f64(),
                version.last_answer.as_secs_f64()
            )?;
        }
        self.first_failures.iter().try_for_each(|failure| writeln!(f, "  {failure}"))
    }
}

/// A duration in milliseconds with one digit after the point.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1000.0)
    }
}
