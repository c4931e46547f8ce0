//! The listeners of workloads: bound, kept over restarts of the helper, and given their splits.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use deployer_core::{
    error::ErrorKind,
    model::{InFlight, Member, Proof, SetId, Split, TrafficView, WorkloadId},
    ports::Counts,
};
use tokio::{runtime::Handle, sync::watch};

use super::{
    fence, log,
    state::{Durability, SavedTraffic},
    supervisor::Supervisor,
};
use crate::{
    protocol::{ApplySplit, BindListener, Refusal},
    proxy::{Proxy, ProxyStats},
};

/// The proxies of all workloads.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// The runtime of the data plane; this thread is not part of it.
    pub(super) data_plane: Handle,
    pub(super) proxies: HashMap<WorkloadId, Proxy>,
}

impl Supervisor {
    /// Whether the listener of a workload is bound there, or could be: so that nobody starts instances first and
    /// learns then that nothing can reach them.
    pub(crate) fn may_bind(&self, id: &WorkloadId, order: &BindListener) -> Result<(), Refusal> {
        if let Some(saved) = self.listener_of(id) {
            return refuse_elsewhere(id, saved, order.listen);
        }
        self.refuse_foreign(id, order.listen)?;
        listen(order.listen).map(drop)
    }

    /// Binds the listener of a workload, if it is not bound. Returns its address.
    pub(crate) fn bind(&mut self, id: &WorkloadId, order: &BindListener) -> Result<SocketAddr, Refusal> {
        self.refuse_while_closing()?;
        if let Some(saved) = self.listener_of(id) {
            refuse_elsewhere(id, saved, order.listen)?;
            return self.proxy(id).map(|proxy| proxy.local_address());
        }
        self.refuse_foreign(id, order.listen)?;
        let proxy = start(order, order.listen, &self.traffic.data_plane)?;
        let address = proxy.local_address();
        let mut next = self.workload(id);
        next.traffic = Some(SavedTraffic {
            listen: order.listen,
            address,
            settings: order.settings.clone(),
            split: Split::EMPTY,
        });
        self.commit(id, next, Durability::Disk)?;
        self.traffic.proxies.insert(id.clone(), proxy);
        Ok(address)
    }

    /// Gives up the listener of a workload. Its connections are for the caller to end.
    pub(crate) fn release(&mut self, id: &WorkloadId) -> Result<Option<Proxy>, Refusal> {
        if self.state.workloads.get(id).is_some_and(|workload| workload.traffic.is_some()) {
            let mut next = self.workload(id);
            next.traffic = None;
            self.commit(id, next, Durability::Disk)?;
        }
        Ok(self.traffic.proxies.remove(id))
    }

    /// Gives all traffic of a workload to a split.
    pub(crate) fn shift(&mut self, id: &WorkloadId, order: ApplySplit) -> Result<(), Refusal> {
        let mut next = self.workload(id);
        fence::admit(id, &mut next, order.epoch)?;
        self.bind(id, &BindListener { listen: order.listen, settings: order.settings })?;
        let proxy = self.proxy(id)?;
        let (before, _) = proxy.current();
        proxy.set(&order.split).map_err(|error| Refusal::new(ErrorKind::InvalidInput, error.to_string()))?;
        // The split is in force before it is saved: a kill in between brings back the old one, and the order was
        // never answered. An invalid one is never saved this way.
        next.traffic = self.state.workloads.get(id).and_then(|workload| workload.traffic.clone());
        let is_same = match &mut next.traffic {
            Some(traffic) => {
                let is_same = traffic.split == order.split;
                traffic.split = order.split;
                is_same
            }
            None => true,
        };
        let durability = if is_same { Durability::Rename } else { Durability::Disk };
        self.commit(id, next, durability).inspect_err(|_| {
            let _ = proxy.set(&before);
        })
    }

    /// The split in force.
    pub(crate) fn current(&mut self, id: &WorkloadId) -> Result<TrafficView, Refusal> {
        if self.state.workloads.get(id).is_none_or(|workload| workload.traffic.is_none()) {
            return Ok(TrafficView { split: Split::EMPTY, proof: Proof::Proven { generation: 0 } });
        }
        let (split, generation) = self.proxy(id)?.current();
        Ok(TrafficView { split, proof: Proof::Proven { generation } })
    }

    /// What members are busy with: requests and tunnels.
    pub(crate) fn in_flight(
        &mut self,
        id: &WorkloadId,
        members: &[Member],
    ) -> Result<Vec<InFlight>, Refusal> {
        if self.state.workloads.get(id).is_none_or(|workload| workload.traffic.is_none()) {
            return Ok(vec![InFlight::Known(0); members.len()]);
        }
        let loads = self.proxy(id)?.in_flight(members);
        Ok(loads.iter().map(|load| InFlight::Known(load.requests.saturating_add(load.tunnels))).collect())
    }

    /// How a set answered lately.
    pub(crate) fn counts(
        &mut self,
        id: &WorkloadId,
        set: &SetId,
        interval: Duration,
    ) -> Result<Counts, Refusal> {
        self.proxy(id)?.counts(set, interval).ok_or_else(|| {
            Refusal::new(ErrorKind::NotFound, format!("nothing is known of the answers of set {set}"))
        })
    }

    /// Everything that the proxy of a workload has counted.
    pub(crate) fn stats(&mut self, id: &WorkloadId) -> Result<ProxyStats, Refusal> {
        Ok(self.proxy(id)?.stats())
    }

    /// Hints of changes of the traffic of a workload.
    pub(crate) fn traffic_changes(&mut self, id: &WorkloadId) -> Result<watch::Receiver<u64>, Refusal> {
        Ok(self.proxy(id)?.changes())
    }

    /// Binds all listeners again and restores their splits.
    pub(crate) fn restore_traffic(&mut self) {
        let workloads: Vec<WorkloadId> = self.state.workloads.keys().cloned().collect();
        for id in workloads {
            if self.state.workloads[&id].traffic.is_some()
                && let Err(refusal) = self.proxy(&id)
            {
                log::line(&format!("listener of {id}: {}", refusal.message));
            }
        }
    }

    /// Hands over all proxies, to be ended.
    pub(crate) fn take_proxies(&mut self) -> Vec<Proxy> {
        self.traffic.proxies.drain().map(|(_, proxy)| proxy).collect()
    }

    /// The proxy of a workload; one that could not be started with the helper is tried again.
    fn proxy(&mut self, id: &WorkloadId) -> Result<Proxy, Refusal> {
        if let Some(proxy) = self.traffic.proxies.get(id) {
            return Ok(proxy.clone());
        }
        self.refuse_while_closing()?;
        let saved = self.state.workloads.get(id).and_then(|workload| workload.traffic.as_ref());
        let saved = saved
            .ok_or_else(|| Refusal::new(ErrorKind::NotFound, format!("workload {id} has no listener")))?;
        let order = BindListener { listen: saved.listen, settings: saved.settings.clone() };
        let proxy = start(&order, saved.address, &self.traffic.data_plane)?;
        proxy
            .set(&saved.split)
            .map_err(|error| Refusal::new(ErrorKind::Unexpected, format!("the saved split: {error}")))?;
        self.traffic.proxies.insert(id.clone(), proxy.clone());
        Ok(proxy)
    }

    fn listener_of(&self, id: &WorkloadId) -> Option<&SavedTraffic> {
        self.state.workloads.get(id).and_then(|workload| workload.traffic.as_ref())
    }

    fn refuse_foreign(&self, id: &WorkloadId, listen: SocketAddr) -> Result<(), Refusal> {
        let others = self.state.workloads.iter().filter(|(other, _)| *other != id);
        for (other, workload) in others {
            if workload
                .traffic
                .as_ref()
                .is_some_and(|traffic| listen.port() != 0 && traffic.address == listen)
            {
                let message = format!("{listen} is the listener of workload {other}; choose another address");
                return Err(Refusal::new(ErrorKind::InvalidInput, message));
            }
        }
        Ok(())
    }
}

fn refuse_elsewhere(id: &WorkloadId, saved: &SavedTraffic, wanted: SocketAddr) -> Result<(), Refusal> {
    if wanted == saved.listen || wanted == saved.address {
        return Ok(());
    }
    let message = format!(
        "workload {id} listens on {} already, not on {wanted}; release that listener first",
        saved.address
    );
    Err(Refusal::new(ErrorKind::InvalidInput, message))
}

fn start(order: &BindListener, address: SocketAddr, data_plane: &Handle) -> Result<Proxy, Refusal> {
    Proxy::start(listen(address)?, order.settings.clone(), data_plane)
        .map_err(|error| Refusal::new(ErrorKind::Unexpected, format!("cannot serve {address}: {error}")))
}

fn listen(address: SocketAddr) -> Result<TcpListener, Refusal> {
    TcpListener::bind(address).map_err(|error| {
        let (kind, way_out) = match error.kind() {
            io::ErrorKind::AddrInUse => {
                (ErrorKind::Unavailable, "another program has it: stop that, or choose another port")
            }
            io::ErrorKind::AddrNotAvailable => {
                (ErrorKind::InvalidInput, "this host does not have that address: choose one that it has")
            }
            io::ErrorKind::PermissionDenied => {
                (ErrorKind::PermissionDenied, "choose a port above 1023, or allow this user to bind it")
            }
            _ => (ErrorKind::Unexpected, "choose another address"),
        };
        Refusal::new(kind, format!("cannot listen on {address}: {error}; {way_out}"))
    })
}
