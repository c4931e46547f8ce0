//! Who may write, and what.

use deployer_core::{error::ErrorKind, model::SetId};

use super::{
    rig::{ReleaseKind, TargetRig},
    stage::{EPOCH, Stage, ids_of, on, refused},
};
use crate::conformance::{
    check::{Check, Checked, Suite, not_applicable, worked},
    scope,
};

const OTHER_ARTIFACT: Check = Check {
    name: "a-set-keeps-its-artifact",
    proves: "`apply` fails with `AlreadyExists` if the set exists with another artifact, without effect",
    matters: "two versions run under one name, and the journal can say of neither which one serves",
};

const FENCED: Check = Check {
    name: "an-older-epoch-is-refused",
    proves: "`fences`: calls with an epoch older than the target has seen fail with `Conflict`, without effect",
    matters: "a deployer that was cut off and comes back undoes what its successor did",
};

const TAKES_OVER: Check = Check {
    name: "a-newer-epoch-takes-over",
    proves: "a newer owner works with the sets that an older one made",
    matters: "after a crash nobody could go on, and a newer release could not retire the older one",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn TargetRig) {
    on(suite, rig, OTHER_ARTIFACT, other_artifact).await;
    on(suite, rig, FENCED, fenced).await;
    on(suite, rig, TAKES_OVER, takes_over).await;
}

async fn other_artifact(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let other = stage.pin("v1", ReleaseKind::OtherGood).await?;
    let before = ids_of(&stage.run(&release, 1).await?);
    let answer = stage.apply(&stage.context(), &other, 2, &[]).await?;
    refused("apply of another artifact", &answer, &[ErrorKind::AlreadyExists])?;
    stage.stays(&SetId::from(&release.release.id), &before).await
}

async fn fenced(stage: &Stage<'_>) -> Checked {
    if !stage.capabilities().fences {
        return Err(not_applicable("it does not claim `fences`"));
    }
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let before = ids_of(&stage.run(&release, 1).await?);
    let (set, old) = (SetId::from(&release.release.id), stage.at_epoch(EPOCH - 1));
    let answer = stage.apply(&old, &release, 3, &[]).await?;
    refused("apply with an older epoch", &answer, &[ErrorKind::Conflict])?;
    let call = stage.target.remove(&old, &set);
    let answer = scope::within("remove", stage.rig.patience(), call).await?;
    refused("remove with an older epoch", &answer, &[ErrorKind::Conflict])?;
    let answer = stage.apply(&old, &release, 0, &[]).await?;
    refused("apply of zero with an older epoch", &answer, &[ErrorKind::Conflict])?;
    stage.stays(&set, &before).await?;
    stage.works("observe with an older epoch", stage.target.observe(&old)).await.map(drop)
}

async fn takes_over(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let before = ids_of(&stage.run(&release, 1).await?);
    let set = SetId::from(&release.release.id);
    let newer = stage.at_epoch(EPOCH + 3);
    worked("apply with a newer epoch", stage.apply(&newer, &release, 1, &[]).await?)?;
    stage.stays(&set, &before).await?;
    if stage.capabilities().fences {
        let answer = stage.apply(&stage.context(), &release, 2, &[]).await?;
        refused("apply by the former owner", &answer, &[ErrorKind::Conflict])?;
        stage.stays(&set, &before).await?;
    }
    stage.works("remove with a newer epoch", stage.target.remove(&newer, &set)).await?;
    stage.until_gone(&set).await
}
