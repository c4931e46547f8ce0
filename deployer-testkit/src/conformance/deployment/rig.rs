//! What the deployment suite needs to know of a backend.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    engine::DeploymentBuilder,
    model::WorkloadId,
    ports::{Clock, HealthCheck, SystemClock, TrafficRouter},
};

use crate::conformance::TargetRig;

/// What the [deployment suite](super::deployment) needs to know of a backend, beyond its [`TargetRig`].
#[async_trait]
pub trait DeploymentRig: TargetRig {
    /// The router that serves this workload, if there is one.
    async fn router(&self, workload: &WorkloadId) -> Option<Arc<dyn TrafficRouter>>;

    /// How instances of the good releases are probed. Default: not at all.
    async fn check(&self, workload: &WorkloadId) -> Option<Arc<dyn HealthCheck>> {
        let _ = workload;
        None
    }

    /// What else the deployments of this backend need: shorter intervals, another patience.
    fn adjust(&self, deployment: DeploymentBuilder) -> DeploymentBuilder {
        deployment
    }

    /// The clock of the deployments.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    /// How many instances a workload has.
    fn replicas(&self) -> u32 {
        2
    }

    /// How long each check should take. Where that is too short for every call to go wrong in turn, one of two is made
    /// to, or one of three; the report says how many.
    fn budget(&self) -> Duration {
        Duration::from_secs(60)
    }
}
