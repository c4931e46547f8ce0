//! One check of a target with a workload of its own.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{
        Instance, InstanceId, InstancePhase, PinnedRelease, SetId, SetSpec, TargetCapabilities, WorkloadId,
        WorkloadView,
    },
    ports::{CallContext, Target},
};

use super::rig::{ReleaseKind, TargetRig};
use crate::conformance::{
    check::{Check, Checked, Note, Suite, ensure, failed, not_applicable, until},
    scope,
};

/// The epoch of calls, unless a check is about epochs.
pub(super) const EPOCH: u64 = 5;

/// One check of a target with a workload of its own.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) rig: &'a dyn TargetRig,
    pub(super) target: Arc<dyn Target>,
    pub(super) workload: WorkloadId,
}

/// Runs one check at a stage of its own, and cleans up behind it.
pub(super) async fn on<N: Note>(
    suite: &mut Suite,
    rig: &dyn TargetRig,
    check: Check,
    body: impl AsyncFnOnce(&Stage<'_>) -> Checked<N>,
) {
    let workload = scope::fresh_workload();
    let stage = Stage { rig, target: rig.target(&workload).await, workload: workload.clone() };
    suite.run(check, body(&stage)).await;
    rig.clean_up(&workload).await;
}

impl Stage<'_> {
    pub(super) fn capabilities(&self) -> TargetCapabilities {
        self.target.capabilities()
    }

    pub(super) fn context(&self) -> CallContext {
        self.at_epoch(EPOCH)
    }

    pub(super) fn at_epoch(&self, epoch: u64) -> CallContext {
        scope::context(&self.workload, epoch, self.rig.patience())
    }

    /// How long a stop may take.
    pub(super) fn stop_patience(&self) -> Duration {
        self.capabilities().stop_grace + self.rig.patience()
    }

    /// Goes on only where two sets can run side by side.
    pub(super) fn needs_two_sets(&self) -> Checked {
        let capabilities = self.capabilities();
        if capabilities.delegates {
            return Err(not_applicable("`delegates`: the platform replaces one release by the next itself"));
        }
        match capabilities.exclusive {
            Some(why) => Err(not_applicable(format!("`exclusive`: two sets cannot run side by side: {why}"))),
            None => Ok(()),
        }
    }

    /// A release that was prepared.
    pub(super) async fn pin(&self, name: &str, kind: ReleaseKind) -> Checked<PinnedRelease> {
        let Some(release) = self.rig.release(scope::release_id(name), kind) else {
            return Err(not_applicable(format!("the rig has no release of kind {kind:?}")));
        };
        let artifact = self.works("prepare", self.target.prepare(&self.context(), &release)).await?;
        Ok(PinnedRelease { release, artifact })
    }

    /// The answer to `apply`.
    pub(super) async fn apply(
        &self,
        context: &CallContext,
        release: &PinnedRelease,
        replicas: u32,
        remove_first: &[InstanceId],
    ) -> Checked<Result<(), BackendError>> {
        let spec = spec(release, replicas, remove_first);
        scope::within("apply", self.rig.patience(), self.target.apply(context, release, &spec)).await
    }

    /// Applies a size that has to be accepted.
    pub(super) async fn size(&self, release: &PinnedRelease, replicas: u32) -> Checked {
        let spec = spec(release, replicas, &[]);
        self.works("apply", self.target.apply(&self.context(), release, &spec)).await
    }

    /// Applies a size and waits until so many run, no more and no fewer.
    pub(super) async fn run(&self, release: &PinnedRelease, replicas: u32) -> Checked<Vec<Instance>> {
        self.size(release, replicas).await?;
        self.until_running(release, replicas).await
    }

    /// The answer of a call that has to work.
    pub(super) async fn works<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Checked<T> {
        scope::works(what, self.rig.patience(), call).await
    }

    pub(super) async fn observe(&self) -> Checked<WorkloadView> {
        self.works("observe", self.target.observe(&self.context())).await
    }

    /// All instances of a set.
    pub(super) async fn instances(&self, set: &SetId) -> Checked<Vec<Instance>> {
        let view = self.observe().await?;
        let found: Vec<_> = view.sets.into_iter().filter(|seen| seen.set == *set).collect();
        ensure(found.len() < 2, || format!("set {set} is listed {} times", found.len()), "each set once")?;
        Ok(found.into_iter().flat_map(|seen| seen.instances).collect())
    }

    /// Waits until a set is as wanted.
    pub(super) async fn until(
        &self,
        set: &SetId,
        patience: Duration,
        expected: &str,
        wanted: impl Fn(&[Instance]) -> bool,
    ) -> Checked<Vec<Instance>> {
        until(patience, expected, async || {
            let instances = self.instances(set).await?;
            Ok(if wanted(&instances) { Ok(instances) } else { Err(in_words(&instances)) })
        })
        .await
    }

    /// Waits until so many run and nothing else is there, and sees to it that there are never more.
    pub(super) async fn until_running(
        &self,
        release: &PinnedRelease,
        replicas: u32,
    ) -> Checked<Vec<Instance>> {
        let set = SetId::from(&release.release.id);
        let wanted = replicas as usize;
        let expected = format!("{replicas} running instances and no other");
        until(self.stop_patience(), &expected, async || {
            let instances = self.instances(&set).await?;
            let live = live(&instances);
            ensure(live.len() <= wanted, || in_words(&instances), format!("never more than {replicas}"))?;
            let is_there = running(&instances).len() == wanted && instances.len() == wanted;
            Ok(if is_there { Ok(instances) } else { Err(in_words(&instances)) })
        })
        .await
    }

    /// Waits until nothing of a set is left.
    pub(super) async fn until_gone(&self, set: &SetId) -> Checked {
        let expected = format!("nothing of set {set} within its grace");
        self.until(set, self.stop_patience(), &expected, <[Instance]>::is_empty).await.map(drop)
    }

    /// Sees that so many are starting or running, and stay so many for a few looks.
    pub(super) async fn stays(&self, set: &SetId, ids: &[InstanceId]) -> Checked {
        for _ in 0..3 {
            let instances = self.instances(set).await?;
            let seen = ids_of(&live(&instances));
            ensure(seen == ids, || in_words(&instances), format!("exactly {}", names(ids)))?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Goes on only if a call was refused with this kind of error.
pub(super) fn refused(what: &str, answer: &Result<(), BackendError>, kinds: &[ErrorKind]) -> Checked {
    match answer {
        Err(error) if kinds.contains(&error.kind) => Ok(()),
        Err(error) => {
            Err(failed(format!("{what}: {:?}, {}", error.kind, error.report()), format!("{kinds:?}")))
        }
        Ok(()) => Err(failed(format!("{what} was accepted"), format!("{kinds:?}"))),
    }
}

pub(super) fn spec(release: &PinnedRelease, replicas: u32, remove_first: &[InstanceId]) -> SetSpec {
    SetSpec { set: SetId::from(&release.release.id), replicas, remove_first: remove_first.to_vec() }
}

/// Starting or running: what the size of a set counts.
pub(super) fn live(instances: &[Instance]) -> Vec<Instance> {
    let is_live =
        |one: &&Instance| matches!(one.phase, InstancePhase::Starting | InstancePhase::Running { .. });
    instances.iter().filter(is_live).cloned().collect()
}

pub(super) fn running(instances: &[Instance]) -> Vec<Instance> {
    let is_running = |one: &&Instance| matches!(one.phase, InstancePhase::Running { .. });
    instances.iter().filter(is_running).cloned().collect()
}

pub(super) fn ids_of(instances: &[Instance]) -> Vec<InstanceId> {
    instances.iter().map(|one| one.id.clone()).collect()
}

pub(super) fn names(ids: &[InstanceId]) -> String {
    if ids.is_empty() {
        return "nothing".to_owned();
    }
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn in_words(instances: &[Instance]) -> String {
    if instances.is_empty() {
        return "no instance".to_owned();
    }
    let one = |one: &Instance| format!("{} {:?}", one.id, one.phase);
    instances.iter().map(one).collect::<Vec<_>>().join(", ")
}
