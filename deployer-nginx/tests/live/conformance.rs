//! The suites of the test kit.

use std::sync::Arc;

use async_trait::async_trait;
use deployer_core::{
    model::{SetId, Share, Split, WorkloadId},
    ports::{MetricSource, TrafficRouter as _},
};
use deployer_nginx::{LiveMetrics, Server};
use deployer_testkit::{
    cases::say,
    conformance::{self, Ask, MetricRig},
};

use crate::rig::{LiveRig, context};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_router_conforms() {
    let rig = LiveRig::start().await;
    let report = conformance::router(&rig).await;
    say(&report.to_string());
    report.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_conform() {
    let rig = Served::start().await;
    let report = conformance::metrics(&rig).await;
    say(&report.to_string());
    report.assert();
}

/// A workload that has been sent a few requests.
#[derive(Debug)]
struct Served {
    rig: LiveRig,
    workload: WorkloadId,
    set: SetId,
}

impl Served {
    async fn start() -> Self {
        let rig = LiveRig::start().await;
        let served = Self { rig, workload: "served".parse().unwrap(), set: "v1".parse().unwrap() };
        let members = served.rig.backends.members(&served.set, 2).await;
        let shares = vec![Share { set: served.set.clone(), weight: 1, members }];
        let split = Split::Serve { shares, routes: Vec::new() };
        served.rig.live(&served.workload).await.apply(&context(&served.workload), &split).await.unwrap();
        assert!(served.send(5, 1).await);
        served
    }
}

#[async_trait]
impl MetricRig for Served {
    async fn source(&self) -> Arc<dyn MetricSource> {
        Arc::new(LiveMetrics::new(self.rig.own.server().clone(), self.workload.clone()))
    }

    async fn served(&self) -> (WorkloadId, SetId) {
        (self.workload.clone(), self.set.clone())
    }

    async fn send(&self, good: u64, bad: u64) -> bool {
        let address = self.rig.address(&self.workload).await;
        for _ in 0..good {
            assert_eq!(self.rig.backends.ask(address, &Ask::default()).await.status, 200);
        }
        for _ in 0..bad {
            assert_eq!(self.rig.backends.fail(address).await.status, 500);
        }
        true
    }

    async fn unreachable(&self) -> Option<Arc<dyn MetricSource>> {
        let mut settings = self.rig.own.server().settings().clone();
        settings.directory = "/nowhere".into();
        let server = Server::find(settings).await.unwrap();
        Some(Arc::new(LiveMetrics::new(server, self.workload.clone())))
    }
}
