//! A target that forgets, or starts something else.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use deployer_core::{
    model::{
        Artifact, Evidence, InstanceId, PinnedRelease, Release, SetId, SetSpec, TargetCapabilities,
        WorkloadView,
    },
    ports::{CallContext, Changes, Result, Target},
};
use parking_lot::Mutex;

use super::{planted::Planted, witness_target::WitnessTarget};

/// A target that forgets, or starts something else.
#[derive(Debug)]
pub(super) struct BadTarget {
    inner: WitnessTarget,
    bug: Planted,
    /// Sets whose calls timed out, and what was there before.
    forgotten: Mutex<BTreeSet<SetId>>,
}

impl BadTarget {
    pub(super) fn new(inner: WitnessTarget, bug: Planted) -> Self {
        Self { inner, bug, forgotten: Mutex::default() }
    }
}

/// Notes that a call was given up.
struct Forgets<'a>(&'a BadTarget, SetId, bool);

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        if !self.2 && self.0.bug == Planted::TimeOutNeverHappened {
            self.0.forgotten.lock().insert(self.1.clone());
        }
    }
}

#[async_trait]
impl Target for BadTarget {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> TargetCapabilities {
        self.inner.capabilities()
    }

    async fn observe(&self, context: &CallContext) -> Result<WorkloadView> {
        let mut view = self.inner.observe(context).await?;
        let forgotten = self.forgotten.lock();
        view.sets.retain(|set| !forgotten.contains(&set.set));
        if self.bug == Planted::WrongArtifact {
            for set in &mut view.sets {
                let right: Option<Arc<str>> =
                    set.instances.iter().map(|one| &one.digest).find(|digest| !is_wrong(digest)).cloned();
                let wrong = set.instances.iter_mut().filter(|one| is_wrong(&one.digest));
                wrong.for_each(|one| {
                    let plain = one.digest.trim_end_matches(WRONG);
                    one.digest = right.clone().unwrap_or_else(|| Arc::from(plain));
                });
            }
        }
        Ok(view)
    }

    async fn prepare(&self, context: &CallContext, release: &Release) -> Result<Artifact> {
        self.inner.prepare(context, release).await
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        let mut forgets = Forgets(self, spec.set.clone(), false);
        let mut release = release.clone();
        if self.bug == Planted::WrongArtifact && spec.replicas > 3 {
            release.artifact.digest = Arc::from(format!("{}{WRONG}", release.artifact.digest));
        }
        let done = self.inner.apply(context, &release, spec).await;
        forgets.2 = done.is_ok();
        done
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        self.inner.remove(context, set).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.inner.watch(context).await
    }

    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        self.inner.evidence(context, instance).await
    }
}

/// What the wrong artifact is called.
const WRONG: &str = "-wrong";

fn is_wrong(digest: &str) -> bool {
    digest.ends_with(WRONG)
}
