//! An nginx with the live router as a rig.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use deployer_core::{
    model::{Epoch, Member, SetId, WorkloadId},
    ports::{CallContext, TrafficRouter},
};
use deployer_nginx::{LiveRouter, NginxSettings, OwnServer, OwnSettings, RouterKind};
use deployer_testkit::conformance::{Answer, Ask, Backends, Held, RouterRig};
use tokio::sync::Mutex;

use crate::support::{LIMIT, nginx};

/// An nginx with the live router.
#[derive(Debug)]
pub(crate) struct LiveRig {
    pub(crate) own: OwnServer,
    pub(crate) backends: Backends,
    listeners: Mutex<HashMap<WorkloadId, SocketAddr>>,
    _folder: tempfile::TempDir,
}

impl LiveRig {
    pub(crate) async fn start() -> Self {
        Self::with(NginxSettings::default()).await
    }

    pub(crate) async fn with(settings: NginxSettings) -> Self {
        Self::tuned(settings, 2, "").await
    }

    /// With so many workers, and with more configuration.
    pub(crate) async fn tuned(settings: NginxSettings, worker_processes: u16, extra: &str) -> Self {
        nginx();
        let folder = tempfile::tempdir().unwrap();
        // So that the head of an answer comes before its body, which tells who holds a request.
        std::fs::create_dir(folder.path().join("http.d")).unwrap();
        let extra = format!("postpone_output 0;\n{extra}");
        std::fs::write(folder.path().join("http.d/test.conf"), extra).unwrap();
        let nginx = NginxSettings { router: Some(RouterKind::Live), ..settings };
        let settings = OwnSettings { nginx, worker_processes, ..OwnSettings::new(folder.path()) };
        let own = OwnServer::start(settings, &[]).await.unwrap();
        Self { own, backends: Backends::new(), listeners: Mutex::default(), _folder: folder }
    }

    /// Where a workload answers.
    pub(crate) async fn address(&self, workload: &WorkloadId) -> SocketAddr {
        let mut listeners = self.listeners.lock().await;
        if let Some(address) = listeners.get(workload) {
            return *address;
        }
        let address = self.own.add(workload, ([127, 0, 0, 1], 0).into()).await.unwrap();
        listeners.insert(workload.clone(), address);
        address
    }

    /// Its router, with a location.
    pub(crate) async fn live(&self, workload: &WorkloadId) -> LiveRouter {
        self.address(workload).await;
        LiveRouter::new(self.own.server().clone(), workload.clone())
    }
}

pub(crate) fn context(workload: &WorkloadId) -> CallContext {
    CallContext {
        workload: workload.clone(),
        deployment: "by-hand".parse().unwrap(),
        epoch: Epoch(u64::from(u32::MAX)),
        deadline: LIMIT,
    }
}

#[async_trait]
impl RouterRig for LiveRig {
    async fn router(&self, workload: &WorkloadId) -> Arc<dyn TrafficRouter> {
        Arc::new(self.live(workload).await)
    }

    async fn members(&self, _workload: &WorkloadId, set: &SetId, count: usize) -> Vec<Member> {
        self.backends.members(set, count).await
    }

    async fn ask(&self, workload: &WorkloadId, ask: &Ask) -> Option<Answer> {
        Some(self.backends.ask(self.address(workload).await, ask).await)
    }

    async fn hold(&self, workload: &WorkloadId) -> Option<Box<dyn Held>> {
        self.backends.hold(self.address(workload).await).await
    }

    async fn clean_up(&self, workload: &WorkloadId) {
        self.live(workload).await.forget(&context(workload)).await.unwrap();
    }
}
