//! One member: what it is busy with, its connections, whether it is in the split.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use deployer_core::model::InstanceId;
use http::HeaderValue;
use tokio::sync::watch;

use super::{MemberLoad, MemberStats, ejection::Ejection, pool::Pool, set::SetState};

/// A member that is in the split, or was and is still busy.
#[derive(Debug)]
pub(super) struct MemberState {
    pub(super) set: Arc<SetState>,
    pub(super) instance: InstanceId,
    pub(super) address: SocketAddr,
    /// The address as a `Host` header, for clients that send none.
    pub(super) host: HeaderValue,
    pub(super) ejection: Ejection,
    pub(super) pool: Pool,
    requests: AtomicU32,
    tunnels: AtomicU32,
    in_split: AtomicBool,
    /// Since when it is out of the split.
    left: watch::Sender<Option<Instant>>,
    changes: watch::Sender<u64>,
}

impl MemberState {
    pub(super) fn new(
        set: Arc<SetState>,
        instance: InstanceId,
        address: SocketAddr,
        changes: watch::Sender<u64>,
        now: Instant,
    ) -> Self {
        Self {
            set,
            instance,
            address,
            host: HeaderValue::try_from(address.to_string()).expect("an address is visible ASCII"),
            ejection: Ejection::new(now),
            pool: Pool::default(),
            requests: AtomicU32::new(0),
            tunnels: AtomicU32::new(0),
            in_split: AtomicBool::new(true),
            left: watch::Sender::new(None),
            changes,
        }
    }

    pub(super) fn load(&self) -> MemberLoad {
        // In this order a request that becomes a tunnel meanwhile is seen at least once.
        let requests = self.requests.load(Ordering::SeqCst);
        MemberLoad { requests, tunnels: self.tunnels.load(Ordering::SeqCst) }
    }

    pub(super) fn is_in_split(&self) -> bool {
        self.in_split.load(Ordering::SeqCst)
    }

    /// It is in the split, again or for the first time.
    pub(super) fn enter(&self) {
        if !self.in_split.swap(true, Ordering::SeqCst) {
            self.pool.open();
            self.left.send_replace(None);
        }
    }

    /// It is out of the split: no request will be claimed on it any more.
    pub(super) fn leave(&self, now: Instant) {
        if self.in_split.swap(false, Ordering::SeqCst) {
            self.pool.close();
            self.left.send_replace(Some(now));
        }
    }

    /// Returns when it has been out of the split for `time` on end.
    pub(super) async fn been_out_for(&self, time: Duration) {
        let mut left = self.left.subscribe();
        loop {
            let since = *left.borrow_and_update();
            let end = async {
                match since {
                    Some(at) => tokio::time::sleep_until((at + time).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end => return,
                changed = left.changed() => changed.expect("the sender is a field of self"),
            }
        }
    }

    pub(super) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_request(&self) {
        if self.requests.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.tell_if_out();
        }
    }

    /// A request goes on as a tunnel; it is counted as both for a moment, never as none.
    pub(super) fn request_to_tunnel(&self) {
        self.tunnels.fetch_add(1, Ordering::SeqCst);
        self.end_request();
    }

    pub(super) fn end_tunnel(&self) {
        if self.tunnels.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.tell_if_out();
        }
    }

    pub(super) fn stats(&self, now: Instant) -> MemberStats {
        let load = self.load();
        MemberStats {
            set: self.set.id.clone(),
            instance: self.instance.clone(),
            address: self.address,
            in_split: self.is_in_split(),
            in_flight: load.requests,
            tunnels: load.tunnels,
            ejected: self.ejection.is_ejected(now),
        }
    }

    fn tell_if_out(&self) {
        if !self.is_in_split() {
            self.changes.send_modify(|ticks| *ticks += 1);
        }
    }
}
