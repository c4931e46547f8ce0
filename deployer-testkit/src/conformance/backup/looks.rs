//! Looking: before a backup, at a backup, at all of them.

use deployer_core::{
    error::ErrorKind,
    ports::{BackupProvider, RestoreTo, VerifyLevel},
};

use super::{
    rig::{BackupRig, Damage},
    stage::{Ask, Stage, keys, on, request},
};
use crate::conformance::check::{Check, Checked, Suite, ensure, ensure_eq, failed, not_applicable, worked};

const PREFLIGHT: Check = Check {
    name: "preflight-has-no-effect",
    proves: "`preflight` finds no problem where backups can be made, and changes nothing",
    matters: "a rehearsal leaves things behind, or refuses a deployment that could go on",
};

const LIST: Check = Check {
    name: "backups-are-listed-oldest-first",
    proves: "`list` has all complete backups as `create` returned them, oldest first",
    matters: "the newest backup is restored by its place in the list",
};

const LIST_OWN: Check = Check {
    name: "only-own-backups-are-listed",
    proves: "`list` has the backups of its own source only",
    matters: "somebody else's backup is taken for the newest one, restored, or removed",
};

const VERIFY: Check = Check {
    name: "each-level-is-recorded",
    proves: "`verify` records the level that was reached, and returns the backup as it is recorded now",
    matters: "a migration runs only behind a verified backup: it stops if the level is forgotten",
};

const LOWER: Check = Check {
    name: "a-lesser-look-takes-nothing-back",
    proves: "a level includes those before it, so a good look at a lower one leaves what was recorded",
    matters: "a daily look at the sizes makes all proven backups unproven ones, which are removed",
};

const UNSUPPORTED: Check = Check {
    name: "a-level-that-it-cannot-reach-is-refused",
    proves: "`verify` fails with `Unsupported` if this provider cannot look so closely, without effect",
    matters: "a backup counts as restored and looked at though nobody did",
};

const FLIPPED: Check = Check {
    name: "a-flipped-byte-is-found",
    proves: "`verify` at `Checksum` and above reads every byte; a damaged backup counts as unverified from then on",
    matters: "the data is gone on the day on which it is needed",
};

const CUT: Check = Check {
    name: "a-missing-end-is-found",
    proves: "`verify` at `Checksum` and above finds that the end is missing; the backup counts as unverified from then on",
    matters: "the data is gone on the day on which it is needed",
};

const GONE: Check = Check {
    name: "what-was-removed-is-not-found",
    proves: "`verify` and `restore` fail with `NotFound` if the backup is gone",
    matters: "a record in a journal passes for a backup that nobody has any more",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn BackupRig) {
    on(suite, rig, PREFLIGHT, preflight).await;
    on(suite, rig, LIST, list).await;
    on(suite, rig, LIST_OWN, list_own).await;
    on(suite, rig, VERIFY, verify).await;
    on(suite, rig, LOWER, lower).await;
    on(suite, rig, UNSUPPORTED, unsupported).await;
    on(suite, rig, FLIPPED, async |stage| damaged(stage, Damage::Flipped).await).await;
    on(suite, rig, CUT, async |stage| damaged(stage, Damage::Cut).await).await;
    on(suite, rig, GONE, gone).await;
}

async fn preflight(stage: &Stage) -> Checked {
    for known in [vec![], vec!["k1"]] {
        let before = (stage.stand.live().await, stage.stand.stored().await);
        for _ in 0..2 {
            let found = stage.works("preflight", stage.provider.preflight(&stage.context)).await?;
            ensure(found.is_ready(), || format!("{:?}", found.problems), "no problem: one can be made")?;
        }
        let after = (stage.stand.live().await, stage.stand.stored().await);
        ensure(after == before, || "live data or what is stored changed", "no effect")?;
        ensure_eq("list", &keys(&stage.list().await?), &known)?;
        let made = stage.create("k1").await?;
        let found = stage.works("preflight", stage.provider.preflight(&stage.context)).await?;
        let same = found.source.as_ref().is_none_or(|source| *source == made.source);
        ensure(same, || format!("source {:?}", found.source), format!("{}, or none", made.source))?;
    }
    Ok(())
}

async fn list(stage: &Stage) -> Checked {
    ensure_eq("list before the first", &stage.list().await?, &Vec::new())?;
    // In another order than that of their names.
    let made = stage.create_all(&["k3", "k1", "k2"]).await?;
    ensure_eq("list", &stage.list().await?, &made)
}

async fn list_own(stage: &Stage) -> Checked {
    let Some(foreign) = stage.stand.foreign() else {
        return Err(not_applicable("the rig has no second source"));
    };
    let theirs = stage.works("create", foreign.create(&stage.context, &request("k1"))).await?;
    ensure_eq("list", &stage.list().await?, &Vec::new())?;
    let ours = stage.create("k2").await?;
    ensure_eq("list", &stage.list().await?, &vec![ours])?;
    let listed = stage.works("list", foreign.list(&stage.context)).await?;
    ensure_eq("list of the other source", &listed, &vec![theirs])
}

async fn verify(stage: &Stage) -> Checked {
    let made = stage.create("k1").await?;
    for level in stage.stand.levels() {
        let verified = stage.verify(&made, level).await?;
        ensure_eq("what was returned", &verified.verified, &Some(level))?;
        ensure_eq("what is listed", &stage.listed(&made).await?, &Some(verified))?;
    }
    // Not by the way of lower ones.
    let made = stage.create("k2").await?;
    let Some(highest) = stage.stand.levels().into_iter().max() else {
        return Err(failed("no level", "one level at least"));
    };
    let verified = stage.verify(&made, highest).await?;
    ensure_eq("what was returned", &verified.verified, &Some(highest))?;
    ensure_eq("what is listed", &stage.listed(&made).await?, &Some(verified))
}

async fn lower(stage: &Stage) -> Checked {
    let made = stage.create("k1").await?;
    let mut levels = stage.stand.levels();
    levels.sort_unstable();
    let Some(highest) = levels.last().copied() else {
        return Err(failed("no level", "one level at least"));
    };
    stage.verify(&made, highest).await?;
    for level in levels {
        let verified = stage.verify(&made, level).await?;
        let seen = format!("what was returned after a look at {level:?}");
        ensure_eq(&seen, &verified.verified, &Some(highest))?;
        ensure_eq("what is listed", &stage.listed(&made).await?, &Some(verified))?;
    }
    Ok(())
}

async fn unsupported(stage: &Stage) -> Checked {
    let all = [VerifyLevel::Exists, VerifyLevel::Checksum, VerifyLevel::Listed, VerifyLevel::Restored];
    let known = stage.stand.levels();
    let others: Vec<_> = all.into_iter().filter(|level| !known.contains(level)).collect();
    if others.is_empty() {
        return Err(not_applicable("this provider reaches every level"));
    }
    let made = stage.create("k1").await?;
    let before = stage.verify(&made, VerifyLevel::Checksum).await?;
    for level in others {
        let call = stage.provider.verify(&stage.context, &made, level);
        let answer = stage.answer("verify", call).await?;
        let refused = answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Unsupported);
        ensure(refused, || format!("at {level:?}: {answer:?}"), "`Unsupported`")?;
        ensure_eq("list", &stage.list().await?, &vec![before.clone()])?;
    }
    Ok(())
}

async fn damaged(stage: &Stage, damage: Damage) -> Checked {
    for level in stage.stand.levels().into_iter().filter(|level| level.is_proof()) {
        let made = stage.create(&format!("{level:?}")).await?;
        let good = stage.verify(&made, VerifyLevel::Checksum).await?;
        if !stage.stand.corrupt(&made, damage).await {
            return Err(not_applicable("the rig cannot change what is stored"));
        }
        let answer = stage.answer("verify", stage.provider.verify(&stage.context, &good, level)).await?;
        ensure(answer.is_err(), || format!("at {level:?}: {answer:?}"), "an error")?;
        let verified = stage.listed(&made).await?.and_then(|listed| listed.verified);
        ensure(verified.is_none(), || format!("{verified:?} after a look at {level:?}"), "unverified")?;
        stage.refuses("a damaged backup", &Ask::new(&made, RestoreTo::New(stage.stand.place()))).await?;
        stage.refuses("a damaged backup", &Ask::new(&made, RestoreTo::Live)).await?;
    }
    Ok(())
}

async fn gone(stage: &Stage) -> Checked {
    let made = stage.create_all(&["k1", "k2"]).await?;
    stage.prune(0, &[]).await?;
    if stage.listed(&made[0]).await?.is_some() {
        return Err(failed("k1 is still listed", "the older of two is removed if none is to be kept"));
    }
    for level in stage.stand.levels() {
        not_found(stage, &*stage.provider, level, &made[0]).await?;
    }
    for to in [RestoreTo::New(stage.stand.place()), RestoreTo::Live] {
        if to == RestoreTo::Live && !stage.stand.restores_live() {
            continue;
        }
        let error = stage.refuses("a backup that is gone", &Ask::new(&made[0], to)).await?;
        ensure_eq("kind of error", &error.kind, &ErrorKind::NotFound)?;
    }
    // The key is free again.
    worked("create", stage.provider.create(&stage.context, &request("k1")).await).map(drop)
}

async fn not_found(
    stage: &Stage,
    provider: &dyn BackupProvider,
    level: VerifyLevel,
    backup: &deployer_core::ports::Backup,
) -> Checked {
    let answer = stage.answer("verify", provider.verify(&stage.context, backup, level)).await?;
    let refused = answer.as_ref().is_err_and(|error| error.kind == ErrorKind::NotFound);
    ensure(refused, || format!("at {level:?}: {answer:?}"), "`NotFound`")
}
