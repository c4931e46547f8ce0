//! An nginx of one's own as a rig, in front of servers of this program.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use deployer_core::{
    model::{Member, SetId, WorkloadId},
    ports::TrafficRouter,
};
use deployer_nginx::{NginxSettings, OwnServer, OwnSettings, ReloadRouter, RouterKind};
use deployer_testkit::conformance::{Answer, Ask, Backends, Held, RouterRig};
use tokio::sync::Mutex;

/// An nginx of one's own as a rig.
#[derive(Debug)]
pub(crate) struct ReloadRig {
    own: OwnServer,
    backends: Backends,
    listeners: Mutex<HashMap<WorkloadId, SocketAddr>>,
    _folder: tempfile::TempDir,
}

impl ReloadRig {
    pub(crate) async fn start(nginx: NginxSettings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let nginx = NginxSettings { router: Some(RouterKind::Reload), ..nginx };
        let settings = OwnSettings { nginx, ..OwnSettings::new(folder.path()) };
        let own = OwnServer::start(settings, &[]).await.expect("an own nginx");
        Self { own, backends: Backends::new(), listeners: Mutex::default(), _folder: folder }
    }

    async fn address(&self, workload: &WorkloadId) -> SocketAddr {
        self.listeners.lock().await[workload]
    }
}

#[async_trait]
impl RouterRig for ReloadRig {
    async fn router(&self, workload: &WorkloadId) -> Arc<dyn TrafficRouter> {
        let mut listeners = self.listeners.lock().await;
        if !listeners.contains_key(workload) {
            let listen = self.own.add(workload, ([127, 0, 0, 1], 0).into()).await.expect("a listener");
            listeners.insert(workload.clone(), listen);
        }
        Arc::new(ReloadRouter::new(self.own.server().clone(), workload.clone()))
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
        self.listeners.lock().await.remove(workload);
        self.own.remove(workload).await.expect("an own nginx");
    }
}
