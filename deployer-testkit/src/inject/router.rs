//! Wrapped routers.

use async_trait::async_trait;
use deployer_core::{
    model::{InFlight, Member, RouterCapabilities, Split, TrafficView},
    ports::{CallContext, Changes, Result, TrafficRouter},
    strategy::Command,
};

use super::{PortKind::Router as Kind, Wrapped};

#[async_trait]
impl TrafficRouter for Wrapped<dyn TrafficRouter> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> RouterCapabilities {
        self.inner.capabilities()
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        let about = Command::Shift(split.clone()).to_string();
        self.call(Kind, "apply", about, || self.inner.apply(context, split)).await
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        self.call(Kind, "current", String::new(), || self.inner.current(context)).await
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        let about = format!("{} members", members.len());
        self.call(Kind, "in_flight", about, || self.inner.in_flight(context, members)).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.call(Kind, "watch", String::new(), || self.inner.watch(context)).await
    }
}
