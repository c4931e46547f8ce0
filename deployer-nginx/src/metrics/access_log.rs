//! How sets answer, from an access log.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{SetId, Split, WorkloadId},
    ports::{CallContext, Counts, MetricSource, Result, TrafficRouter},
};
use parking_lot::Mutex;

use super::{
    access_log_entry::{Attempt, Outcome},
    access_log_file::Reached,
    access_log_owners::Owners,
    access_log_reader::{LogReader, LogReading},
    seconds::Seconds,
};

/// Sets that are remembered; beyond, one that is out of the split goes.
const MOST_SETS: usize = 64;

/// How the sets of one workload answer, from a log in [`LOG_FORMAT`](super::LOG_FORMAT).
///
/// Every member that a request was sent to counts, not only the last: a candidate whose requests were saved by a retry
/// at another set is still seen to fail. Which set a member is of says the router's split. A request counts when it has
/// ended, as nginx writes its line then; one whose client left before there was an answer does not count.
///
/// Logs may be rotated by renaming (and `USR1`) or by cutting. Of a log that was there before only the last 16 MiB are
/// read, and an hour is the longest interval. One that is longer than two minutes is rounded down to tens of seconds, a
/// shorter one to whole seconds. An address that was another set's before this source was made is taken for the present
/// one's: choose no interval that reaches back to before the switch.
///
/// ```no_run
/// # use std::sync::Arc;
/// # fn of(web: deployer_core::model::WorkloadId, router: Arc<dyn deployer_core::ports::TrafficRouter>) {
/// use deployer_nginx::metrics::AccessLogMetrics;
/// let metrics = AccessLogMetrics::new(web, "/var/log/nginx/outcomes.log", router);
/// # }
/// ```
#[derive(Clone)]
pub struct AccessLogMetrics {
    workload: WorkloadId,
    path: PathBuf,
    router: Arc<dyn TrafficRouter>,
    counted: Arc<Mutex<Counted>>,
}

#[derive(Debug)]
struct Counted {
    reader: LogReader,
    owners: Owners,
    sets: BTreeMap<SetId, Seconds>,
}

impl fmt::Debug for AccessLogMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AccessLogMetrics");
        shown.field("workload", &self.workload).field("path", &self.path).finish_non_exhaustive()
    }
}

impl AccessLogMetrics {
    /// Of the log at this path, for the workload whose members this router knows.
    pub fn new(workload: WorkloadId, path: impl Into<PathBuf>, router: Arc<dyn TrafficRouter>) -> Self {
        let path = path.into();
        let reader = LogReader::new(path.clone());
        let counted = Counted { reader, owners: Owners::default(), sets: BTreeMap::new() };
        Self { workload, path, router, counted: Arc::new(Mutex::new(counted)) }
    }

    /// How the reading went so far.
    pub fn reading(&self) -> LogReading {
        self.counted.lock().reader.reading
    }

    /// Reads what is new, on a thread where that may wait for the disk.
    async fn read(&self, operation: &str, split: Split, until: Instant) -> Result<()> {
        let counted = self.counted.clone();
        let reached = tokio::task::spawn_blocking(move || counted.lock().read(&split, until)).await;
        let error = |kind, message: String| BackendError::new(kind, operation, message);
        let shown = self.path.display();
        match reached {
            Ok(Ok(Reached::End)) => Ok(()),
            Ok(Ok(Reached::Deadline)) => {
                let message = format!("{shown} has more lines than can be read in this time; ask again");
                Err(error(ErrorKind::TimedOut, message))
            }
            Ok(Err(source)) => {
                let kind = match source.kind() {
                    io::ErrorKind::NotFound => ErrorKind::NotFound,
                    io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                    _ => ErrorKind::Unavailable,
                };
                Err(error(kind, format!("the access log {shown} cannot be read")).with_source(source))
            }
            Err(source) => {
                Err(error(ErrorKind::Unexpected, format!("reading {shown} ended early")).with_source(source))
            }
        }
    }
}

#[async_trait]
impl MetricSource for AccessLogMetrics {
    async fn counts(&self, context: &CallContext, set: &SetId, interval: Duration) -> Result<Counts> {
        let until = Instant::now() + context.deadline;
        let operation = format!("count answers of set {set} of {} in the access log", self.workload);
        if context.workload != self.workload {
            let message = format!("this source counts for {}, not {}", self.workload, context.workload);
            return Err(BackendError::new(ErrorKind::InvalidInput, operation, message));
        }
        let split = self.router.current(context).await?.split;
        self.read(&operation, split, until).await?;
        let counted = self.counted.lock();
        let reading = counted.reader.reading;
        if reading.entries == 0 && reading.rubbish > 0 {
            let message = format!(
                "none of {} lines of {} has the form of LOG_FORMAT; check its access_log line",
                reading.rubbish,
                counted.reader.path().display()
            );
            return Err(BackendError::new(ErrorKind::InvalidInput, operation, message));
        }
        let Some(seconds) = counted.sets.get(set) else {
            let message = format!("set {set} was in no split of {} that was seen", self.router.name());
            return Err(BackendError::new(ErrorKind::NotFound, operation, message));
        };
        Ok(seconds.counts(interval, since_epoch()))
    }
}

impl Counted {
    fn read(&mut self, split: &Split, until: Instant) -> io::Result<Reached> {
        let now = since_epoch();
        self.learn(split, now);
        let Self { reader, owners, sets } = self;
        let reached = reader.read(until, |entry| {
            for attempt in &entry.attempts {
                let set = whose(attempt, entry.at, owners);
                if let Some(seconds) = set.and_then(|set| sets.get_mut(set)) {
                    let bad = match attempt.outcome {
                        Outcome::Good => false,
                        Outcome::Bad => true,
                        Outcome::ClientGone => continue,
                    };
                    seconds.count(entry.at, bad, attempt.time, now);
                }
            }
        });
        for seconds in sets.values_mut() {
            seconds.age(now);
        }
        reached
    }

    fn learn(&mut self, split: &Split, now: Duration) {
        self.owners.learn(split, now);
        for share in split.shares() {
            self.sets.entry(share.set.clone()).or_default();
        }
        while self.sets.len() > MOST_SETS {
            let Some(gone) = self.sets.keys().find(|set| split.share(set).is_none()).cloned() else { break };
            self.sets.remove(&gone);
        }
    }
}

fn whose<'a>(attempt: &Attempt, at: Duration, owners: &'a Owners) -> Option<&'a SetId> {
    let address: SocketAddr = attempt.member.parse().ok()?;
    owners.at(address, at)
}

fn since_epoch() -> Duration {
    // A clock before 1970 counts nothing, as no line is from then.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
