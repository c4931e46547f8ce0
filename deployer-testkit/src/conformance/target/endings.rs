//! How instances and sets end.

use deployer_core::{
    error::ErrorKind,
    model::{Instance, InstanceId, InstancePhase, SetId},
};

use super::{
    rig::{ReleaseKind, TargetRig},
    stage::{Stage, ids_of, in_words, on},
};
use crate::conformance::{
    check::{Check, Checked, Suite, ensure, failed, not_applicable},
    scope,
};

const REPLACED: Check = Check {
    name: "what-ended-is-replaced-by-the-next-apply",
    proves: "`replicas` counts those that are starting or running: an instance that ended is seen, and replaced",
    matters: "a set that lost an instance stays too small for ever, or one that is dead is taken for capacity",
};

const EVIDENCE: Check = Check {
    name: "an-end-leaves-evidence",
    proves: "an instance that ends by itself reads as failed or restarted, and `evidence` has its output or its end",
    matters: "the rollout goes back and nobody can say why the release failed",
};

const NO_EVIDENCE: Check = Check {
    name: "nothing-is-known-of-strangers",
    proves: "`evidence` fails with `NotFound` if nothing is known of an instance",
    matters: "empty evidence reads as an instance that ended without a word",
};

const GRACE: Check = Check {
    name: "a-stop-ends-with-a-kill",
    proves: "instances that are told to stop are killed after the target's grace time, without a further call",
    matters: "a release that ignores the signal is left behind for ever and the rollout waits for it until its deadline",
};

const REMOVED: Check = Check {
    name: "a-removed-set-is-gone",
    proves: "`remove` stops all instances of a set and forgets it; said twice it is said once; a set that does not exist \
             is removed",
    matters: "leftovers keep a port, a volume, or requests; a remove that fails when there is nothing to do keeps a \
              resumed rollout from its end",
};

const OTHERS: Check = Check {
    name: "other-workloads-are-not-touched",
    proves: "all calls are about the workload of their context",
    matters: "deploying one service stops the instances of another whose release has the same name",
};

const OTHER_SETS: Check = Check {
    name: "other-sets-are-not-touched",
    proves: "`apply` and `remove` are about one set",
    matters: "retiring the new set takes the old one, which serves, with it",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn TargetRig) {
    on(suite, rig, REPLACED, replaced).await;
    on(suite, rig, EVIDENCE, evidence).await;
    on(suite, rig, NO_EVIDENCE, no_evidence).await;
    on(suite, rig, GRACE, grace).await;
    on(suite, rig, REMOVED, removed).await;
    on(suite, rig, OTHERS, others).await;
    on(suite, rig, OTHER_SETS, other_sets).await;
}

/// Whether an instance has had an end that the platform noticed.
fn has_ended(instances: &[Instance], id: &InstanceId, restarts: u32) -> bool {
    instances
        .iter()
        .find(|one| one.id == *id)
        .is_none_or(|one| matches!(one.phase, InstancePhase::Failed { .. }) || one.restarts > restarts)
}

async fn replaced(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let all = stage.run(&release, 2).await?;
    let victim = &all[0];
    if !stage.rig.kill(&stage.workload, &victim.id).await {
        return Err(not_applicable("the rig cannot end an instance from outside"));
    }
    let set = SetId::from(&release.release.id);
    let expected = format!("{} reads as failed, restarted or gone", victim.id);
    let ended = |seen: &[Instance]| has_ended(seen, &victim.id, victim.restarts);
    stage.until(&set, stage.rig.patience(), &expected, ended).await?;
    let now = stage.run(&release, 2).await?;
    let survives = now.iter().any(|one| one.id == all[1].id && one.started_at == all[1].started_at);
    ensure(survives, || in_words(&now), format!("{} was not touched", all[1].id))
}

async fn evidence(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::ExitsAtOnce).await?;
    stage.size(&release, 1).await?;
    let set = SetId::from(&release.release.id);
    let ended = |seen: &[Instance]| !seen.is_empty() && seen.iter().any(|one| has_ended(seen, &one.id, 0));
    let expected = "an instance that reads as failed or restarted";
    let instances = stage.until(&set, stage.rig.patience(), expected, ended).await?;
    let reasonless =
        |one: &&Instance| matches!(&one.phase, InstancePhase::Failed { reason } if reason.trim().is_empty());
    ensure(!instances.iter().any(|one| reasonless(&one)), || in_words(&instances), "a reason")?;
    let id = &instances[0].id;
    let evidence = stage.works("evidence", stage.target.evidence(&stage.context(), id)).await?;
    let says = evidence.exit.is_some() || !evidence.log.trim().is_empty();
    ensure(says, || format!("{evidence:?}"), "its last output, or how it ended")?;
    let length = evidence.log.len();
    ensure(length <= 64 * 1024, || format!("{length} bytes of log"), "at most 64 KiB")
}

async fn no_evidence(stage: &Stage<'_>) -> Checked {
    let stranger = InstanceId::new("nobody-knows-me").expect("a plain name");
    let context = stage.context();
    let call = stage.target.evidence(&context, &stranger);
    match scope::within("evidence", stage.rig.patience(), call).await? {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(format!("{:?}: {}", error.kind, error.report()), "`NotFound`")),
        Ok(evidence) => Err(failed(format!("{evidence:?}"), "`NotFound`")),
    }
}

async fn grace(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::IgnoresStop).await?;
    stage.run(&release, 1).await?;
    stage.size(&release, 0).await?;
    let set = SetId::from(&release.release.id);
    let now = stage.instances(&set).await?;
    let stops = now.iter().all(|one| matches!(one.phase, InstancePhase::Stopping { .. }));
    ensure(stops, || in_words(&now), "stopping, with the time of its kill")?;
    stage.until_gone(&set).await?;
    gone_in_truth(stage).await
}

async fn removed(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let set = SetId::from(&release.release.id);
    let context = stage.context();
    stage.works("remove of a set that does not exist", stage.target.remove(&context, &set)).await?;
    stage.run(&release, 2).await?;
    for _ in 0..2 {
        stage.works("remove", stage.target.remove(&context, &set)).await?;
        let now = stage.instances(&set).await?;
        let live = super::stage::live(&now);
        ensure(live.is_empty(), || in_words(&now), "all stopping or gone")?;
    }
    stage.until_gone(&set).await?;
    stage.works("remove of a set that is gone", stage.target.remove(&context, &set)).await?;
    gone_in_truth(stage).await?;
    stage.run(&release, 1).await.map(drop)
}

/// Nothing of the workload is left on the platform, if the rig can see that.
async fn gone_in_truth(stage: &Stage<'_>) -> Checked {
    let expected = "nothing left on the platform";
    crate::conformance::check::until(stage.rig.patience(), expected, async || {
        let left = stage.rig.reality(&stage.workload).await.unwrap_or_default();
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}")) })
    })
    .await
}

async fn others(stage: &Stage<'_>) -> Checked {
    let workload = scope::fresh_workload();
    let other = Stage { rig: stage.rig, target: stage.rig.target(&workload).await, workload };
    let result = beside(stage, &other).await;
    stage.rig.clean_up(&other.workload).await;
    result
}

async fn beside(stage: &Stage<'_>, other: &Stage<'_>) -> Checked {
    let theirs = other.pin("v1", ReleaseKind::Good).await?;
    let before = ids_of(&other.run(&theirs, 2).await?);
    let ours = stage.pin("v1", ReleaseKind::Good).await?;
    let set = SetId::from(&ours.release.id);
    let seen = stage.instances(&set).await?;
    ensure(seen.is_empty(), || in_words(&seen), "nothing of the other workload")?;
    stage.run(&ours, 1).await?;
    stage.works("remove", stage.target.remove(&stage.context(), &set)).await?;
    stage.until_gone(&set).await?;
    other.stays(&set, &before).await
}

async fn other_sets(stage: &Stage<'_>) -> Checked {
    stage.needs_two_sets()?;
    let old = stage.pin("v1", ReleaseKind::Good).await?;
    let new = stage.pin("v2", ReleaseKind::OtherGood).await?;
    let before = ids_of(&stage.run(&old, 2).await?);
    stage.run(&new, 2).await?;
    stage.run(&new, 1).await?;
    let set = SetId::from(&new.release.id);
    stage.works("remove", stage.target.remove(&stage.context(), &set)).await?;
    stage.until_gone(&set).await?;
    stage.stays(&SetId::from(&old.release.id), &before).await
}
