//! The proxy as its owner sees it.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use deployer_core::{
    model::{Member, SetId, Split},
    ports::Counts,
};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use super::{InvalidSplit, MemberLoad, ProxySettings, ProxyStats, listen, shared::Shared};

/// A reverse proxy: one listener, one workload. A cheap handle; when the last clone is dropped everything is closed
/// at once.
///
/// Requests are served on the runtime given to [`start`](Self::start). All other methods may be called from any
/// thread and wait for no request.
///
/// ```
/// use deployer_core::model::Split;
/// use deployer_local::proxy::{Proxy, ProxySettings};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let data = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let proxy = Proxy::start(listener, ProxySettings::default(), data.handle())?;
///
/// let shares = serde_json::json!([{
///     "set": "v1", "weight": 1, "members": [{ "instance": "v1-1", "address": "127.0.0.1:4001" }]
/// }]);
/// let split: Split = serde_json::from_value(serde_json::json!({ "serve": { "shares": shares } }))?;
/// assert_eq!(proxy.set(&split)?, 1);
/// assert_eq!(proxy.set(&split)?, 1);
/// assert_eq!(proxy.current(), (split, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: watch::Sender<Option<Instant>>,
    ended: watch::Receiver<()>,
    task: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Serves `listener` on the runtime `data`, which needs I/O and time. Until the first [`set`](Self::set) every
    /// request is answered with 503.
    ///
    /// # Errors
    /// The listener cannot be handed to the runtime.
    pub fn start(listener: TcpListener, settings: ProxySettings, data: &Handle) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = {
            let _runtime = data.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let shared = Arc::new(Shared::new(settings));
        let (stop, stopped) = watch::channel(None);
        let (end, ended) = watch::channel(());
        let task = data.spawn(listen::run(listener, shared.clone(), stopped, end)).abort_handle();
        Ok(Self { inner: Arc::new(Inner { shared, address, stop, ended, task }) })
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Makes this the whole split and returns its generation. When it returns every later request follows it and
    /// every earlier one is counted in [`in_flight`](Self::in_flight). The split in force given again changes
    /// nothing, the generation included. A new proxy has [`Split::EMPTY`] with generation 0.
    ///
    /// # Errors
    /// All that is wrong with the split; nothing has changed then.
    pub fn set(&self, split: &Split) -> Result<u64, InvalidSplit> {
        self.inner.shared.set(split)
    }

    /// The split in force and its generation.
    pub fn current(&self) -> (Split, u64) {
        let registry = self.inner.shared.registry.lock();
        (registry.split.clone(), registry.generation)
    }

    /// What these members are busy with, in the same order. Members that left the split are still counted; with an
    /// address of `None` all addresses of the instance are. One that was never in a split is idle.
    pub fn in_flight(&self, members: &[Member]) -> Vec<MemberLoad> {
        let registry = self.inner.shared.registry.lock();
        members.iter().map(|member| registry.load(member)).collect()
    }

    /// Everything counted since the start.
    pub fn stats(&self) -> ProxyStats {
        let shared = &self.inner.shared;
        let registry = shared.registry.lock();
        ProxyStats {
            epoch: shared.epoch,
            generation: registry.generation,
            sets: registry.set_stats(),
            members: registry.member_stats(Instant::now()),
            own: shared.own_answers(),
        }
    }

    /// How a set answered over the last `interval`; `None` for a set that was in no split.
    ///
    /// The interval is rounded down to whole seconds, beyond two minutes to tens of seconds; an hour is the longest.
    /// One below a second reaches back to the last full second.
    pub fn counts(&self, set: &SetId, interval: Duration) -> Option<Counts> {
        let set = self.inner.shared.registry.lock().find_set(set).cloned()?;
        Some(set.counts(Instant::now(), interval))
    }

    /// Ticks when the split changes, and when a member that is out of it has no requests, or no tunnels, any more.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.changes.subscribe()
    }

    /// Stops accepting, lets requests in flight and tunnels end, closes idle connections. Returns when all have
    /// ended, at the latest after `deadline`; what is left then is cut. May be called again with another deadline.
    ///
    /// # Cancel safety
    /// If the call is dropped the shutdown goes on.
    pub async fn shutdown(&self, deadline: Duration) {
        self.inner.shared.stopping.store(true, Ordering::SeqCst);
        self.inner.stop.send_replace(Some(Instant::now() + deadline));
        let mut ended = self.inner.ended.clone();
        // It never sends: it is dropped with the task.
        while ended.changed().await.is_ok() {}
    }
}
