//! Observation against reality.

use std::time::Duration;

use deployer_core::model::{
    Epoch, Instance, InstanceId, InstancePhase, Place, PlaceStatus, SetId, WorkloadView,
};
use futures::StreamExt as _;
use tokio::time::timeout;

use super::{
    rig::{RealInstance, ReleaseKind, TargetRig},
    stage::{EPOCH, Stage, in_words, on, running},
};
use crate::conformance::{
    check::{Check, Checked, Suite, ensure, failed, not_applicable, until},
    scope,
};

const REALITY: Check = Check {
    name: "observation-is-reality",
    proves: "`observe` lists exactly what is there, whoever made it",
    matters: "the engine decides on what it sees: what it does not see it starts again, and never removes",
};

const LABELS: Check = Check {
    name: "what-is-made-is-labelled",
    proves: "everything that is created carries workload, set, deployment and epoch",
    matters: "after a crash nobody can tell whose it is, and it is left behind for ever",
};

const ANSWERS: Check = Check {
    name: "addresses-answer",
    proves: "an address is where the instance answers",
    matters: "the router sends requests there, and all of them fail",
};

const HINTS: Check = Check {
    name: "a-change-gives-a-hint",
    proves: "`watch` hints at changes, or fails: then the engine looks at intervals",
    matters: "a stream that stays silent lets the engine sleep through the start of every instance",
};

const UNKNOWN: Check = Check {
    name: "unknown-is-not-zero",
    proves: "a place that could not be looked at is reported as unknown, or the look fails; it is never empty",
    matters: "the engine takes an empty view for zero instances and starts a second set beside the one that runs on",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn TargetRig) {
    on(suite, rig, REALITY, reality).await;
    on(suite, rig, LABELS, labels).await;
    on(suite, rig, ANSWERS, answers).await;
    on(suite, rig, HINTS, hints).await;
    on(suite, rig, UNKNOWN, unknown).await;
}

async fn reality(stage: &Stage<'_>) -> Checked {
    if stage.rig.reality(&stage.workload).await.is_none() {
        return Err(not_applicable("the rig cannot look at the platform itself"));
    }
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let set = SetId::from(&release.release.id);
    for replicas in [2, 3, 1] {
        stage.size(&release, replicas).await?;
        agrees(stage).await?;
        stage.until_running(&release, replicas).await?;
        agrees(stage).await?;
    }
    stage.works("remove", stage.target.remove(&stage.context(), &set)).await?;
    stage.until_gone(&set).await?;
    agrees(stage).await
}

/// What is there before and after a look has to be in it; what is in it has to be there, at the latest when the
/// platform has noticed every end.
async fn agrees(stage: &Stage<'_>) -> Checked {
    until(stage.rig.patience(), "observation and reality agree", async || {
        let before = stage.rig.reality(&stage.workload).await.unwrap_or_default();
        let view = stage.observe().await?;
        let after = stage.rig.reality(&stage.workload).await.unwrap_or_default();
        let stayed: Vec<_> = before.iter().filter(|one| is_in(&after, &one.set, &one.instance)).collect();
        let listed =
            |one: &RealInstance| all(&view).any(|(set, seen)| *set == one.set && seen.id == one.instance);
        let unseen: Vec<_> = stayed.iter().filter(|one| !listed(one)).map(|one| &one.instance).collect();
        ensure(
            unseen.is_empty(),
            || format!("there and not observed: {unseen:?}"),
            "everything is observed",
        )?;
        let invented: Vec<_> = all(&view)
            .filter(|(set, seen)| {
                exists(&seen.phase) && !is_in(&before, set, &seen.id) && !is_in(&after, set, &seen.id)
            })
            .map(|(_, seen)| &seen.id)
            .collect();
        let seen = format!("observed and not there: {invented:?}");
        Ok(if invented.is_empty() { Ok(()) } else { Err(seen) })
    })
    .await
}

fn all(view: &WorkloadView) -> impl Iterator<Item = (&SetId, &Instance)> {
    view.sets.iter().flat_map(|set| set.instances.iter().map(|one| (&set.set, one)))
}

fn is_in(real: &[RealInstance], set: &SetId, id: &InstanceId) -> bool {
    real.iter().any(|one| one.set == *set && one.instance == *id)
}

/// One that starts may not be there yet, and one that failed may be gone.
fn exists(phase: &InstancePhase) -> bool {
    matches!(phase, InstancePhase::Running { .. } | InstancePhase::Stopping { .. })
}

async fn labels(stage: &Stage<'_>) -> Checked<String> {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    stage.run(&release, 1).await?;
    let Some(real) = stage.rig.reality(&stage.workload).await else {
        return Err(not_applicable("the rig cannot look at the platform itself"));
    };
    let [one] = &real[..] else {
        return Err(failed(format!("{real:?}"), "the one instance that was made"));
    };
    ensure(one.set == SetId::from(&release.release.id), || format!("set {}", one.set), "its own set")?;
    let right = one.deployment.as_ref().is_none_or(|seen| *seen == scope::deployment())
        && one.epoch.is_none_or(|seen| seen == Epoch(EPOCH));
    let seen = || format!("deployment {:?}, epoch {:?}", one.deployment, one.epoch);
    ensure(right, seen, format!("deployment {}, epoch {EPOCH}", scope::deployment()))?;
    let said = |is_there: bool, what: &str| if is_there { what.to_owned() } else { format!("no {what}") };
    let (deployment, epoch) =
        (said(one.deployment.is_some(), "deployment"), said(one.epoch.is_some(), "epoch"));
    Ok(format!("the platform keeps workload, set, {deployment}, {epoch}"))
}

async fn answers(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let instances = stage.run(&release, 2).await?;
    for instance in &instances {
        let Some(address) = instance.address else {
            return Err(not_applicable("its instances have no addresses"));
        };
        match stage.rig.answers(address).await {
            None => return Err(not_applicable("the rig cannot send a request")),
            Some(answers) => {
                let seen = || format!("nobody answers at {address}, the address of {}", instance.id);
                ensure(answers, seen, "the instance answers at its address")?;
            }
        }
    }
    Ok(())
}

async fn hints(stage: &Stage<'_>) -> Checked<String> {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let context = stage.context();
    let watch = stage.target.watch(&context);
    let Ok(mut hints) = scope::within("watch", stage.rig.patience(), watch).await? else {
        return Ok("it has no stream; the engine looks at intervals".to_owned());
    };
    stage.size(&release, 1).await?;
    let patience = stage.rig.patience();
    let expected = "a hint, or the end of the stream";
    let silent = |what: &str| failed(format!("no hint within {patience:?} after {what}"), expected);
    match timeout(patience, hints.next()).await {
        Err(_) => return Err(silent("a set was given a size")),
        Ok(None) => return Ok("the stream ended; the engine asks for another".to_owned()),
        Ok(Some(())) => {}
    }
    stage.until_running(&release, 1).await?;
    // What came until now may be about the start.
    while let Ok(Some(())) = timeout(Duration::from_millis(50), hints.next()).await {}
    let set = SetId::from(&release.release.id);
    stage.works("remove", stage.target.remove(&stage.context(), &set)).await?;
    let heard = timeout(patience, hints.next()).await;
    heard.map(|_| "hints came".to_owned()).map_err(|_| silent("a set was removed"))
}

async fn unknown(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let instances = stage.run(&release, 2).await?;
    let place = instances[0].place.clone();
    if !stage.rig.partition(&place).await {
        return Err(not_applicable("the rig cannot make a place unreachable"));
    }
    let result = while_unknown(stage, &SetId::from(&release.release.id), &place, &instances[0].id).await;
    stage.rig.heal(&place).await;
    result?;
    let again = stage.until_running(&release, 2).await?;
    ensure(running(&again).len() == 2, || in_words(&again), "both are seen again")
}

async fn while_unknown(stage: &Stage<'_>, set: &SetId, place: &Place, id: &InstanceId) -> Checked {
    let context = stage.context();
    let call = stage.target.observe(&context);
    let Ok(view) = scope::within("observe", stage.rig.patience(), call).await? else { return Ok(()) };
    let status = view.places.iter().find(|seen| seen.place == *place).map(|seen| &seen.status);
    let is_unknown = matches!(status, Some(PlaceStatus::Unknown { .. }));
    let still_listed =
        view.sets.iter().any(|seen| seen.set == *set && seen.instances.iter().any(|one| one.id == *id));
    let seen = || format!("place {place} reads as {status:?}, instance {id} is listed: {still_listed}");
    ensure(is_unknown, seen, "an error, or the place as unknown")
}
