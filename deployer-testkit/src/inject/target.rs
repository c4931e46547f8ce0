//! Wrapped targets.

use async_trait::async_trait;
use deployer_core::{
    model::{
        Artifact, Evidence, InstanceId, PinnedRelease, Release, SetId, SetSpec, TargetCapabilities,
        WorkloadView,
    },
    ports::{CallContext, Changes, Result, Target},
};

use super::{PortKind::Target as Kind, Wrapped};

#[async_trait]
impl Target for Wrapped<dyn Target> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> TargetCapabilities {
        self.inner.capabilities()
    }

    async fn observe(&self, context: &CallContext) -> Result<WorkloadView> {
        self.call(Kind, "observe", String::new(), || self.inner.observe(context)).await
    }

    async fn prepare(&self, context: &CallContext, release: &Release) -> Result<Artifact> {
        self.call(Kind, "prepare", release.id.to_string(), || self.inner.prepare(context, release)).await
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        let about = format!("{} to {}", spec.set, spec.replicas);
        self.call(Kind, "apply", about, || self.inner.apply(context, release, spec)).await
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        self.call(Kind, "remove", set.to_string(), || self.inner.remove(context, set)).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.call(Kind, "watch", String::new(), || self.inner.watch(context)).await
    }

    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        self.call(Kind, "evidence", instance.to_string(), || self.inner.evidence(context, instance)).await
    }
}
