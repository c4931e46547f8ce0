//! What is removed, and what never is.

use deployer_core::ports::{Backup, VerifyLevel};

use super::{
    rig::BackupRig,
    stage::{Stage, key, keys, on, request},
};
use crate::conformance::check::{Check, Checked, Suite, ensure_eq, not_applicable};

const REST: Check = Check {
    name: "prune-removes-the-rest",
    proves: "`prune` removes all but the newest, and says what it removed; the rest is as it was",
    matters: "the disk is full, and the next backup cannot be made; or the newest are gone",
};

const PROVEN: Check = Check {
    name: "prune-keeps-the-last-proven-one",
    proves: "`prune` never removes the newest backup that was proven good, however few are to be kept",
    matters: "the only backup that is known to be good is removed in favour of some that nobody looked at",
};

const LAST: Check = Check {
    name: "prune-keeps-the-last-one",
    proves: "`prune` never removes the newest backup if none was proven good, however few are to be kept",
    matters: "a wrong number in a configuration removes every backup",
};

const REFERENCED: Check = Check {
    name: "prune-keeps-what-is-referenced",
    proves: "`prune` never removes a backup whose key is in `referenced`",
    matters: "the backup that a half-done deployment would go back to is removed by the next one",
};

const OTHERS: Check = Check {
    name: "prune-leaves-other-sources-alone",
    proves: "`prune` is about this source: backups of another one stay, and do not count",
    matters: "the deployments of one service remove the backups of another",
};

const AGAIN: Check = Check {
    name: "prune-again-removes-nothing",
    proves: "`prune` said twice removes nothing more",
    matters: "a resumed deployment removes backups that should be kept",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn BackupRig) {
    on(suite, rig, REST, rest).await;
    on(suite, rig, PROVEN, proven).await;
    on(suite, rig, LAST, last).await;
    on(suite, rig, REFERENCED, referenced).await;
    on(suite, rig, OTHERS, others).await;
    on(suite, rig, AGAIN, again).await;
}

/// Prunes, and looks that exactly these are removed and exactly those stay, as they were.
async fn removes(
    stage: &Stage,
    (keep, referenced): (u32, &[&str]),
    removed: &[&str],
    stay: &[&str],
) -> Checked {
    let before = stage.list().await?;
    let of = |keys: &[&str]| -> Vec<Backup> {
        before.iter().filter(|backup| keys.contains(&backup.key.as_str())).cloned().collect()
    };
    let what = |end: &str| format!("{end} when {keep} are kept and {referenced:?} referenced");
    let by: Vec<_> = referenced.iter().map(|text| key(text)).collect();
    let mut answer = stage.prune(keep, &by).await?;
    answer.sort_by(|one, other| one.key.cmp(&other.key));
    ensure_eq(&what("removed"), &keys(&answer), &removed.to_vec())?;
    let after = stage.list().await?;
    ensure_eq(&what("left"), &keys(&after), &stay.to_vec())?;
    ensure_eq(&what("left"), &after, &of(stay))
}

async fn rest(stage: &Stage) -> Checked {
    stage.create_all(&["k1", "k2", "k3", "k4"]).await?;
    removes(stage, (u32::MAX, &[]), &[], &["k1", "k2", "k3", "k4"]).await?;
    removes(stage, (4, &[]), &[], &["k1", "k2", "k3", "k4"]).await?;
    removes(stage, (2, &[]), &["k1", "k2"], &["k3", "k4"]).await?;
    for backup in stage.list().await? {
        stage.verify(&backup, VerifyLevel::Checksum).await?;
    }
    Ok(())
}

async fn proven(stage: &Stage) -> Checked {
    let made = stage.create_all(&["k1", "k2", "k3", "k4"]).await?;
    for backup in &made[..2] {
        stage.verify(backup, VerifyLevel::Checksum).await?;
    }
    // That it is there is no proof.
    stage.verify(&made[3], VerifyLevel::Exists).await?;
    removes(stage, (1, &[]), &["k1", "k3"], &["k2", "k4"]).await?;
    removes(stage, (0, &[]), &["k4"], &["k2"]).await?;
    removes(stage, (0, &[]), &[], &["k2"]).await
}

async fn last(stage: &Stage) -> Checked {
    removes(stage, (0, &[]), &[], &[]).await?;
    let made = stage.create_all(&["k1", "k2", "k3"]).await?;
    stage.verify(&made[0], VerifyLevel::Exists).await?;
    removes(stage, (0, &[]), &["k1", "k2"], &["k3"]).await?;
    removes(stage, (0, &[]), &[], &["k3"]).await
}

async fn referenced(stage: &Stage) -> Checked {
    let made = stage.create_all(&["k1", "k2", "k3", "k4", "k5"]).await?;
    stage.verify(&made[4], VerifyLevel::Checksum).await?;
    removes(stage, (1, &["k1", "k3", "k9"]), &["k2", "k4"], &["k1", "k3", "k5"]).await?;
    removes(stage, (0, &["k1"]), &["k3"], &["k1", "k5"]).await?;
    removes(stage, (0, &[]), &["k1"], &["k5"]).await
}

async fn others(stage: &Stage) -> Checked {
    let Some(foreign) = stage.stand.foreign() else {
        return Err(not_applicable("the rig has no second source"));
    };
    let mut theirs = Vec::new();
    for text in ["f1", "f2"] {
        theirs.push(stage.works("create", foreign.create(&stage.context, &request(text))).await?);
    }
    stage.create_all(&["k1", "k2", "k3"]).await?;
    theirs.push(stage.works("create", foreign.create(&stage.context, &request("f3"))).await?);
    removes(stage, (2, &[]), &["k1"], &["k2", "k3"]).await?;
    removes(stage, (0, &[]), &["k2"], &["k3"]).await?;
    let left = stage.works("list", foreign.list(&stage.context)).await?;
    ensure_eq("list of the other source", &left, &theirs)?;
    for backup in &theirs {
        let call = foreign.verify(&stage.context, backup, VerifyLevel::Checksum);
        stage.works("verify", call).await?;
    }
    Ok(())
}

async fn again(stage: &Stage) -> Checked {
    let made = stage.create_all(&["k1", "k2", "k3", "k4", "k5"]).await?;
    stage.verify(&made[1], VerifyLevel::Checksum).await?;
    removes(stage, (2, &["k1"]), &["k3"], &["k1", "k2", "k4", "k5"]).await?;
    removes(stage, (2, &["k1"]), &[], &["k1", "k2", "k4", "k5"]).await?;
    removes(stage, (1, &[]), &["k1", "k4"], &["k2", "k5"]).await?;
    removes(stage, (1, &[]), &[], &["k2", "k5"]).await
}
