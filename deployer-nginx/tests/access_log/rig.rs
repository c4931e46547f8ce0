//! An nginx that writes its answers down.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use deployer_core::{
    model::{Epoch, Proof, SetId, Share, Split, WorkloadId},
    ports::{CallContext, TrafficRouter},
};
use deployer_nginx::{NginxSettings, OwnServer, OwnSettings, RouterKind, metrics::AccessLogMetrics};
use deployer_testkit::conformance::Backends;

use crate::support::{LIMIT, nginx, until};

#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) own: OwnServer,
    pub(crate) backends: Backends,
    pub(crate) workload: WorkloadId,
    pub(crate) address: SocketAddr,
    pub(crate) router: Arc<dyn TrafficRouter>,
    _folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn start(kind: RouterKind) -> Self {
        nginx();
        let folder = tempfile::tempdir().unwrap();
        let nginx = NginxSettings { router: Some(kind), ..NginxSettings::default() };
        let settings = OwnSettings { nginx, outcomes_log: true, ..OwnSettings::new(folder.path()) };
        let own = OwnServer::start(settings, &[]).await.unwrap();
        let workload = WorkloadId::new("served").unwrap();
        let address = own.add(&workload, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let router = own.server().router(workload.clone());
        Self { own, backends: Backends::new(), workload, address, router, _folder: folder }
    }

    pub(crate) fn metrics(&self) -> AccessLogMetrics {
        let log = self.own.outcomes_log().unwrap();
        AccessLogMetrics::new(self.workload.clone(), log, self.router.clone())
    }

    /// Returns when the split is in force.
    pub(crate) async fn apply(&self, shares: Vec<Share>) {
        let context = context(&self.workload);
        let split = Split::Serve { shares, routes: Vec::new() };
        self.router.apply(&context, &split).await.unwrap();
        until("the split is in force", async || {
            matches!(self.router.current(&context).await.unwrap().proof, Proof::Proven { .. })
        })
        .await;
    }
}

pub(crate) fn set(name: &str) -> SetId {
    SetId::new(name).unwrap()
}

pub(crate) fn context(workload: &WorkloadId) -> CallContext {
    CallContext {
        workload: workload.clone(),
        deployment: "test".parse().unwrap(),
        epoch: Epoch(1),
        deadline: LIMIT.max(Duration::from_secs(10)),
    }
}
