//! What the embedded proxy counts, as a rig.

use std::sync::Arc;

use async_trait::async_trait;
use deployer_core::{
    model::{SetId, Share, Split, WorkloadId},
    ports::{MetricSource, TrafficRouter as _},
};
use deployer_testkit::conformance::{Ask, MetricRig};

use crate::rig::{LocalRig, any_port};

/// What the embedded proxy counts, as a rig.
#[derive(Debug)]
pub(crate) struct ProxyRig<'a> {
    rig: &'a LocalRig,
    workload: WorkloadId,
    set: SetId,
}

/// A workload that has been sent a few requests.
pub(crate) async fn rig(rig: &LocalRig) -> ProxyRig<'_> {
    let served = ProxyRig { rig, workload: "served".parse().unwrap(), set: "v1".parse().unwrap() };
    let members = rig.backends.members(&served.set, 2).await;
    let shares = vec![Share { set: served.set.clone(), weight: 1, members }];
    let split = Split::Serve { shares, routes: Vec::new() };
    let router = rig.host.router(served.workload.clone(), any_port());
    router.apply(&LocalRig::context(&served.workload), &split).await.unwrap();
    assert!(served.send(5, 1).await);
    served
}

#[async_trait]
impl MetricRig for ProxyRig<'_> {
    async fn source(&self) -> Arc<dyn MetricSource> {
        self.rig.host.metrics(self.workload.clone())
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
}
