//! Calls whose answer nobody hears.

use std::sync::Arc;

use deployer_core::{error::ErrorKind, model::SetId, ports::Target};

use super::{
    rig::{ReleaseKind, TargetRig},
    stage::{Stage, on, spec},
};
use crate::{
    conformance::check::{Check, Checked, Suite, ensure, failed, poll_and_drop},
    inject::{After, AtCall, Before, EachTwice, Wrapped},
};

/// After how many polls a call is dropped.
const POLLS: [usize; 7] = [0, 1, 2, 3, 5, 8, 13];

const EACH_TWICE: Check = Check {
    name: "each-call-may-be-made-twice",
    proves: "all calls are levels, so each may be repeated at any time",
    matters: "the engine repeats every call whose answer it did not hear; effects would be there twice",
};

const LOST: Check = Check {
    name: "each-answer-may-be-lost",
    proves: "a call that was done and whose answer was lost can be made again, with the same result",
    matters: "a connection that breaks at the wrong moment leaves the rollout with instances that nobody counts",
};

const DROPPED_APPLY: Check = Check {
    name: "a-dropped-apply-can-be-said-again",
    proves: "if `apply` is dropped the set has the old size, the new one, or one between; said again it gets the new one",
    matters: "a deployer that is stopped in the middle of a call leaves double instances, or a set that can never grow",
};

const DROPPED_REMOVE: Check = Check {
    name: "a-dropped-remove-can-be-said-again",
    proves: "a dropped `remove` may or may not have happened; said again the set is gone",
    matters: "a half-removed set blocks every later deployment of the workload",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn TargetRig) {
    on(suite, rig, EACH_TWICE, each_twice).await;
    on(suite, rig, LOST, lost).await;
    on(suite, rig, DROPPED_APPLY, dropped_apply).await;
    on(suite, rig, DROPPED_REMOVE, dropped_remove).await;
}

async fn each_twice(stage: &Stage<'_>) -> Checked {
    let target: Arc<dyn Target> =
        Arc::new(Wrapped::<dyn Target>::new(Arc::clone(&stage.target), Arc::new(EachTwice)));
    let stage = Stage { rig: stage.rig, target, workload: stage.workload.clone() };
    life(&stage).await
}

/// A set grows, shrinks and goes.
async fn life(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    for replicas in [1, 3, 2] {
        stage.run(&release, replicas).await?;
    }
    let set = SetId::from(&release.release.id);
    stage.works("remove", stage.target.remove(&stage.context(), &set)).await?;
    stage.until_gone(&set).await
}

async fn lost(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let (context, set) = (stage.context(), SetId::from(&release.release.id));
    for replicas in [2, 1] {
        let loses = Arc::new(AtCall::new(1, Before::Go, After::Lose));
        let target = Wrapped::<dyn Target>::new(Arc::clone(&stage.target), loses);
        let answer = target.apply(&context, &release, &spec(&release, replicas, &[])).await;
        let lost = answer.as_ref().is_err_and(|error| error.kind == ErrorKind::TimedOut);
        ensure(lost, || format!("{answer:?}"), "the answer is lost on the way")?;
        stage.run(&release, replicas).await?;
    }
    let loses = Arc::new(AtCall::new(1, Before::Go, After::Lose));
    let target = Wrapped::<dyn Target>::new(Arc::clone(&stage.target), loses);
    let Err(_) = target.remove(&context, &set).await else {
        return Err(failed("the answer came", "the answer is lost on the way"));
    };
    stage.works("remove", stage.target.remove(&context, &set)).await?;
    stage.until_gone(&set).await
}

async fn dropped_apply(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let context = stage.context();
    for polls in POLLS {
        for replicas in [2, 0] {
            let spec = spec(&release, replicas, &[]);
            poll_and_drop(stage.target.apply(&context, &release, &spec), polls).await;
            stage.run(&release, replicas).await?;
        }
    }
    Ok(())
}

async fn dropped_remove(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let (context, set) = (stage.context(), SetId::from(&release.release.id));
    for polls in POLLS {
        stage.run(&release, 1).await?;
        poll_and_drop(stage.target.remove(&context, &set), polls).await;
        stage.works("remove", stage.target.remove(&context, &set)).await?;
        stage.until_gone(&set).await?;
    }
    Ok(())
}
