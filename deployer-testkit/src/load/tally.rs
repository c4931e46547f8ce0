//! Counting while the load runs.

use std::{collections::BTreeMap, time::Duration};

use deployer_core::model::Timestamp;

use super::{Failure, FailureKind, Histogram, LoadResult, RequestShape, VersionResult};

/// How many failures are kept one by one.
const KEPT_FAILURES: usize = 20;
/// More versions than this are counted together: an answer header must not cost memory without bound.
const MAX_VERSIONS: usize = 64;
const OTHER_VERSIONS: &str = "(others)";

/// One request that came to an end.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) request: u64,
    pub(super) shape: RequestShape,
    /// From the start of the load.
    pub(super) scheduled: Duration,
    /// From the start of the load.
    pub(super) at: Duration,
    /// The version that answered, if there was an answer that names one.
    pub(super) version: Option<String>,
    pub(super) failure: Option<(FailureKind, String)>,
}

/// Counting while the load runs.
#[derive(Debug)]
pub(super) struct Tally {
    started_at: Timestamp,
    rate: u32,
    scheduled: u64,
    succeeded: u64,
    failed: BTreeMap<FailureKind, u64>,
    versions: BTreeMap<String, VersionResult>,
    latency: Histogram,
    first_failures: Vec<Failure>,
    last_success: Duration,
    longest_gap: Duration,
}

impl Tally {
    pub(super) fn new(rate: u32, started_at: Timestamp) -> Self {
        Self {
            started_at,
            rate,
            scheduled: 0,
            succeeded: 0,
            failed: BTreeMap::new(),
            versions: BTreeMap::new(),
            latency: Histogram::default(),
            first_failures: Vec::new(),
            last_success: Duration::ZERO,
            longest_gap: Duration::ZERO,
        }
    }

    /// A request is due.
    pub(super) fn schedule(&mut self) {
        self.scheduled += 1;
    }

    pub(super) fn record(&mut self, ended: Ended) {
        if let Some(version) = ended.version {
            self.count_version(version, ended.at, ended.failure.is_some());
        }
        let Some((kind, detail)) = ended.failure else {
            self.succeeded += 1;
            self.latency.record(ended.at.saturating_sub(ended.scheduled));
            self.longest_gap = self.longest_gap.max(ended.at.saturating_sub(self.last_success));
            self.last_success = self.last_success.max(ended.at);
            return;
        };
        *self.failed.entry(kind).or_default() += 1;
        if self.first_failures.len() < KEPT_FAILURES {
            let Ended { request, shape, scheduled, at: failed, .. } = ended;
            self.first_failures.push(Failure { request, shape, kind, scheduled, failed, detail });
        }
    }

    /// The result if the load ended at `end`, counted from its start, with `reopened` kept connections that the server
    /// closed, and `retried` requests.
    pub(super) fn result(&self, end: Duration, reopened: u64, retried: u64) -> LoadResult {
        let failed = self.failed.values().sum();
        LoadResult {
            started_at: self.started_at,
            duration: end,
            rate: self.rate,
            requests: self.scheduled,
            succeeded: self.succeeded,
            failed,
            in_flight: self.scheduled.saturating_sub(self.succeeded + failed),
            failed_by_kind: self.failed.clone(),
            by_version: self.versions.clone(),
            latency: self.latency.clone(),
            longest_gap: self.longest_gap.max(end.saturating_sub(self.last_success)),
            reopened,
            retried,
            first_failures: self.first_failures.clone(),
        }
    }

    fn count_version(&mut self, version: String, at: Duration, failed: bool) {
        let known = self.versions.contains_key(&version) || self.versions.len() < MAX_VERSIONS;
        let key = if known { version } else { OTHER_VERSIONS.to_owned() };
        let entry = self.versions.entry(key).or_insert_with(|| VersionResult {
            total: 0,
            failed: 0,
            first_answer: at,
            last_answer: at,
        });
        entry.total += 1;
        entry.failed += u64::from(failed);
        entry.last_answer = entry.last_answer.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(scheduled: u64, ended: u64, failure: Option<FailureKind>) -> Ended {
        Ended {
            request: scheduled,
            shape: RequestShape::FreshGet,
            scheduled: Duration::from_millis(scheduled),
            at: Duration::from_millis(ended),
            version: Some("v1".into()),
            failure: failure.map(|kind| (kind, "because".into())),
        }
    }

    #[test]
    fn the_gap_is_the_longest_time_without_a_success_the_end_included() {
        let mut tally = Tally::new(100, Timestamp::from_millis(0));
        for ended in
            [at(0, 10, None), at(10, 15, None), at(20, 40, Some(FailureKind::Reset)), at(30, 65, None)]
        {
            tally.schedule();
            tally.record(ended);
        }
        let result = tally.result(Duration::from_millis(70), 0, 0);
        assert_eq!(result.longest_gap, Duration::from_millis(50));
        assert_eq!(tally.result(Duration::from_millis(500), 0, 0).longest_gap, Duration::from_millis(435));
        assert_eq!((result.requests, result.succeeded, result.failed, result.in_flight), (4, 3, 1, 0));
        assert_eq!(
            result.latency.max(),
            Duration::from_millis(35),
            "from the scheduled moment, not the sending"
        );
        let version = &result.by_version["v1"];
        assert_eq!((version.total, version.failed), (4, 1));
        assert_eq!((version.first_answer.as_millis(), version.last_answer.as_millis()), (10, 65));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut tally = Tally::new(100, Timestamp::from_millis(0));
        for n in 0..1000 {
            let mut ended = at(n, n, Some(FailureKind::Status5xx));
            ended.version = Some(format!("v{n}"));
            tally.schedule();
            tally.record(ended);
        }
        let result = tally.result(Duration::from_secs(1), 0, 0);
        assert_eq!(result.first_failures.len(), KEPT_FAILURES);
        assert_eq!(result.by_version.len(), MAX_VERSIONS + 1);
        assert_eq!(result.by_version.values().map(|version| version.total).sum::<u64>(), 1000);
        assert_eq!(result.failed, 1000);
    }
}
