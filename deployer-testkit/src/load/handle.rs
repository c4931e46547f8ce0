//! A load that runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use deployer_core::ports::{Clock as _, SystemClock};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use super::{
    LoadError, LoadResult, RequestShape,
    builder::Settings,
    exchange::Exchanges,
    kept::KeptConnections,
    tally::Tally,
    ticker::{self, Schedule, Stop},
};

/// A thread that has not begun by then is not coming.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A load that runs, on two threads of its own. Dropping it ends it at once, requests in flight included.
#[derive(Debug)]
pub struct LoadHandle {
    exchanges: Arc<Exchanges>,
    stop: Stop,
    ticker: Option<thread::JoinHandle<Duration>>,
    sender: Option<thread::JoinHandle<()>>,
    /// Dropped to make the sending thread give up.
    abandon: Option<oneshot::Sender<()>>,
    drained: oneshot::Receiver<()>,
}

impl LoadHandle {
    pub(super) fn start(settings: Settings) -> Result<Self, LoadError> {
        let start = Instant::now();
        let schedule = Schedule { start, rate: settings.rate, maximum: settings.maximum };
        let round = settings.round.clone();
        let exchanges = Arc::new(exchanges(settings, start));
        let stop = Stop::default();
        let (due, requests) = mpsc::unbounded_channel();
        let (abandon, abandoned) = oneshot::channel();
        let (drained_sender, drained) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let sender = thread::Builder::new().name("load-sender".into()).spawn({
            let exchanges = Arc::clone(&exchanges);
            move || {
                // Made here: a runtime must not be dropped on a thread of the caller's runtime.
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return ready.send(Err(error)).unwrap_or_default(),
                };
                ready.send(Ok(())).unwrap_or_default();
                runtime.block_on(send(exchanges, schedule, round, requests, abandoned));
                // Nobody waits for it when the handle was dropped.
                drained_sender.send(()).unwrap_or_default();
            }
        })?;
        let gone = || std::io::Error::other("the sending thread ended");
        started.recv_timeout(START_LIMIT).map_err(|_| gone())??;
        // Should this thread not start, `due` and `abandon` are dropped and the other one ends.
        let ticker = thread::Builder::new().name("load-ticker".into()).spawn({
            let stop = stop.clone();
            move || ticker::run(schedule, &stop, &due)
        })?;
        let (ticker, sender) = (Some(ticker), Some(sender));
        Ok(Self { exchanges, stop, ticker, sender, abandon: Some(abandon), drained })
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.exchanges.start.elapsed()
    }

    /// What was found out so far. Requests that have not ended are counted as in flight.
    pub fn snapshot(&self) -> LoadResult {
        self.result(self.elapsed())
    }

    /// Ends the schedule now, waits for the requests in flight (at most their time limit) and returns what was found
    /// out.
    ///
    /// # Cancel safety
    /// Dropping the call drops the load.
    pub async fn stop(self) -> LoadResult {
        self.stop.now();
        self.wait().await
    }

    /// Waits for the maximum duration and for the requests in flight, and returns what was found out.
    ///
    /// # Cancel safety
    /// Dropping the call drops the load.
    pub async fn wait(mut self) -> LoadResult {
        if let Some(ticker) = &self.ticker {
            ticker.thread().unpark();
        }
        // An error means that the sending thread is gone, which shows as requests that never ended.
        let _ = (&mut self.drained).await;
        let duration = self.ticker.take().and_then(|ticker| ticker.join().ok());
        self.result(duration.unwrap_or_else(|| self.elapsed()))
    }

    fn result(&self, duration: Duration) -> LoadResult {
        let reopened = self.exchanges.kept.closed_while_idle();
        let retried = self.exchanges.retried.load(Ordering::Relaxed);
        self.exchanges.tally.lock().result(duration, reopened, retried)
    }
}

impl Drop for LoadHandle {
    fn drop(&mut self) {
        self.stop.now();
        self.abandon = None;
        if let Some(ticker) = self.ticker.take() {
            ticker.thread().unpark();
            // A thread that panicked has nothing more to say here.
            let _ = ticker.join();
        }
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}

fn exchanges(settings: Settings, start: Instant) -> Exchanges {
    Exchanges {
        start,
        address: settings.address,
        headers: settings.headers,
        retry_kept_gets: settings.retry_kept_gets,
        retried: AtomicU64::new(0),
        get: settings.get,
        post: settings.post,
        body_bytes: settings.body_bytes,
        timeout: settings.timeout,
        send_within: settings.send_within,
        kept: KeptConnections::new(settings.address, settings.connections),
        kept_slots: Semaphore::new(settings.connections),
        fresh_slots: Semaphore::new(settings.connections),
        tally: Mutex::new(Tally::new(settings.rate, SystemClock::new().now())),
    }
}

/// Sends every request when it is due, then waits for those in flight; gives up when `abandoned` ends.
async fn send(
    exchanges: Arc<Exchanges>,
    schedule: Schedule,
    round: Vec<RequestShape>,
    mut due: mpsc::UnboundedReceiver<u64>,
    mut abandoned: oneshot::Receiver<()>,
) {
    let mut shapes = round.iter().copied().cycle();
    let mut in_flight = JoinSet::new();
    let mut scheduling = true;
    while scheduling || !in_flight.is_empty() {
        tokio::select! {
            biased;
            _ = &mut abandoned => return,
            request = due.recv(), if scheduling => match request.zip(shapes.next()) {
                Some((request, shape)) => {
                    exchanges.tally.lock().schedule();
                    let exchanges = Arc::clone(&exchanges);
                    in_flight.spawn(async move {
                        exchanges.run(request, schedule.due(request), shape).await;
                    });
                }
                None => scheduling = false,
            },
            Some(_) = in_flight.join_next(), if !in_flight.is_empty() => {}
        }
    }
}
