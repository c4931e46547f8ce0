//! The embedded proxy as a rig, in front of servers of this program.

use std::sync::Arc;

use async_trait::async_trait;
use deployer_core::{
    model::{Member, SetId, WorkloadId},
    ports::TrafficRouter,
};
use deployer_testkit::conformance::{Answer, Ask, Held, RouterRig};

use crate::rig::{LocalRig, any_port};

#[async_trait]
impl RouterRig for LocalRig {
    async fn router(&self, workload: &WorkloadId) -> Arc<dyn TrafficRouter> {
        self.host.router(workload.clone(), any_port())
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
        self.forget(workload).await;
    }
}
