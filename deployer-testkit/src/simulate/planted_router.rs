//! A router and probes that say what is not so.

use async_trait::async_trait;
use deployer_core::{
    model::{InFlight, Instance, Member, Proof, RouterCapabilities, Split, TrafficView},
    ports::{CallContext, Changes, HealthCheck, Result, TrafficRouter},
    strategy::Probe,
};

use super::{planted::Planted, witness_health::WitnessHealth, witness_router::WitnessRouter};

/// A router that says more than it knows.
#[derive(Debug)]
pub(super) struct BadRouter {
    pub(super) inner: WitnessRouter,
    pub(super) bug: Planted,
}

#[async_trait]
impl TrafficRouter for BadRouter {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> RouterCapabilities {
        self.inner.capabilities()
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        self.inner.apply(context, split).await
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        let mut view = self.inner.current(context).await?;
        if self.bug == Planted::SwitchUnproven {
            view.proof = Proof::Proven { generation: 1 };
        }
        Ok(view)
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        let known = self.inner.in_flight(context, members).await?;
        if self.bug == Planted::DrainSkipped {
            return Ok(vec![InFlight::Known(0); known.len()]);
        }
        Ok(known)
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.inner.watch(context).await
    }
}

/// Probes that always succeed.
#[derive(Debug)]
pub(super) struct BadHealth {
    pub(super) inner: WitnessHealth,
}

#[async_trait]
impl HealthCheck for BadHealth {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        self.inner.probe(context, instance).await;
        Probe::Ok
    }
}
