//! The router as one process sees it.

use std::sync::Arc;

use async_trait::async_trait;
use deployer_core::{
    model::{InFlight, Member, RouterCapabilities, Split, TrafficView},
    ports::{CallContext, Changes, Result, TrafficRouter},
    strategy::Command,
};

use super::witness::Witness;

/// The router as one process sees it.
#[derive(Debug)]
pub(super) struct WitnessRouter {
    pub(super) witness: Arc<Witness>,
    pub(super) inner: Arc<dyn TrafficRouter>,
}

#[async_trait]
impl TrafficRouter for WitnessRouter {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> RouterCapabilities {
        self.inner.capabilities()
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        self.witness.writes(context, &Command::Shift(split.clone()), None);
        self.witness.may_die().await;
        let done = self.inner.apply(context, split).await;
        self.witness.may_die().await;
        done
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        let process = self.witness.process;
        self.witness.record.lock().sights[process].router = false;
        let seen = self.inner.current(context).await;
        let mut record = self.witness.record.lock();
        let sight = &mut record.sights[process];
        sight.router = seen.is_ok();
        if let Ok(view) = &seen {
            sight.split = Some(view.split.clone());
        }
        seen
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        self.inner.in_flight(context, members).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.inner.watch(context).await
    }
}
