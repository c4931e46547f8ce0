//! The target as one process sees it.

use std::sync::Arc;

use async_trait::async_trait;
use deployer_core::{
    model::{
        Artifact, Evidence, InstanceId, PinnedRelease, Release, SetId, SetSpec, TargetCapabilities,
        WorkloadView,
    },
    ports::{CallContext, Changes, Result, Target},
    strategy::Command,
};

use super::{oracle::CANARY, witness::Witness};

/// The target as one process sees it.
#[derive(Debug)]
pub(super) struct WitnessTarget {
    pub(super) witness: Arc<Witness>,
    pub(super) inner: Arc<dyn Target>,
}

#[async_trait]
impl Target for WitnessTarget {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> TargetCapabilities {
        self.inner.capabilities()
    }

    async fn observe(&self, context: &CallContext) -> Result<WorkloadView> {
        let process = self.witness.process;
        self.witness.record.lock().sights[process].target = false;
        let seen = self.inner.observe(context).await;
        let mut record = self.witness.record.lock();
        let sight = &mut record.sights[process];
        sight.target = seen.is_ok();
        sight.acted &= seen.is_err();
        if seen.is_ok() {
            record.looked(process, self.witness.scenario.blindness());
        }
        seen
    }

    async fn prepare(&self, context: &CallContext, release: &Release) -> Result<Artifact> {
        let command = Command::Prepare(release.id.clone());
        self.witness.writes(context, &command, None);
        self.inner.prepare(context, release).await
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        self.witness.writes(context, &Command::Apply(spec.clone()), Some(release));
        self.witness.may_die().await;
        let done = self.inner.apply(context, release, spec).await;
        self.witness.may_die().await;
        done
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        self.witness.writes(context, &Command::Remove(set.clone()), None);
        self.witness.may_die().await;
        let done = self.inner.remove(context, set).await;
        self.witness.may_die().await;
        done
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.inner.watch(context).await
    }

    /// The log of an instance may say anything, a secret too.
    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        let mut evidence = self.inner.evidence(context, instance).await?;
        evidence.log.push_str(CANARY);
        evidence.events.push(CANARY.to_owned());
        Ok(evidence)
    }
}
