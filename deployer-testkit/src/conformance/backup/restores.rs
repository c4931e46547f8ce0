//! Restores that have to work.

use deployer_core::ports::{RestorePlace, RestoreReport, RestoreTo};

use super::{
    rig::BackupRig,
    stage::{Ask, Stage, keys, on},
};
use crate::conformance::check::{Check, Checked, Suite, ensure, ensure_eq, failed, worked};

const TO_NEW: Check = Check {
    name: "a-restore-to-a-new-place-brings-the-data-back",
    proves: "`restore` to a new place makes exactly what was backed up there and leaves live data alone",
    matters: "this is what a backup is for; a drill that touches live data is no drill",
};

const TO_LIVE: Check = Check {
    name: "a-restore-takes-the-place-of-live-data",
    proves: "`restore` swaps in exactly what was backed up and keeps what was there before, where it says",
    matters: "what was written since the backup is lost for good, or a half-restored place serves",
};

const ONCE: Check = Check {
    name: "a-restore-is-done-once",
    proves: "by deployment, backup and place: what was swapped in is not swapped in again, and the report is the same",
    matters: "a resumed deployment restores again, over what the application wrote since",
};

const ANEW: Check = Check {
    name: "another-deployment-restores-anew",
    proves: "what one deployment restored says nothing about the next one",
    matters: "the second restore of the same backup does nothing and says that all is well",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn BackupRig) {
    on(suite, rig, TO_NEW, to_new).await;
    on(suite, rig, TO_LIVE, to_live).await;
    on(suite, rig, ONCE, once).await;
    on(suite, rig, ANEW, anew).await;
}

async fn changed(stage: &Stage, before: &[u8]) -> Checked<Vec<u8>> {
    stage.stand.change().await;
    let live = stage.stand.live().await;
    ensure(live != before, || "the rig changed nothing", "other live data")?;
    Ok(live)
}

async fn is_there(stage: &Stage, what: &str, place: &RestorePlace, wanted: &[u8]) -> Checked {
    let found = stage.stand.content(place).await;
    let seen = || match &found {
        None => format!("{what}: nothing at {place:?}"),
        Some(found) => format!("{what}: other data, {} bytes", found.len()),
    };
    ensure(
        found.as_deref() == Some(wanted),
        seen,
        format!("{what}: exactly the {} bytes wanted", wanted.len()),
    )
}

async fn live_is(stage: &Stage, what: &str, wanted: &[u8]) -> Checked {
    let live = stage.stand.live().await;
    let seen = || format!("{what}: other live data, {} bytes", live.len());
    ensure(live == wanted, seen, format!("{what}: exactly the {} bytes wanted", wanted.len()))
}

async fn to_new(stage: &Stage) -> Checked {
    let wanted = stage.stand.live().await;
    let made = stage.create("k1").await?;
    let live = changed(stage, &wanted).await?;
    let place = stage.stand.place();
    let ask = Ask::new(&made, RestoreTo::New(place.clone()));
    let report = worked("restore", stage.restore(&ask).await?)?;
    let expected =
        RestoreReport { key: made.key.clone(), place: place.clone(), kept: None, as_of: made.as_of };
    ensure_eq("report", &report, &expected)?;
    is_there(stage, "restored", &place, &wanted).await?;
    live_is(stage, "a restore to a new place", &live).await?;
    let again = worked("restore", stage.restore(&ask).await?)?;
    ensure_eq("report of the same again", &again, &report)?;
    let second = stage.stand.place();
    worked("restore", stage.restore(&Ask { to: RestoreTo::New(second.clone()), ..ask }).await?)?;
    is_there(stage, "restored to a second place", &second, &wanted).await?;
    live_is(stage, "a restore to a new place", &live).await?;
    ensure_eq("list", &keys(&stage.list().await?), &vec!["k1"])
}

async fn to_live(stage: &Stage) -> Checked {
    stage.needs_live()?;
    let wanted = stage.stand.live().await;
    let made = stage.create("k1").await?;
    let before = changed(stage, &wanted).await?;
    let report = worked("restore", stage.restore(&Ask::new(&made, RestoreTo::Live)).await?)?;
    live_is(stage, "restored", &wanted).await?;
    ensure_eq("key and moment", &(&report.key, report.as_of), &(&made.key, made.as_of))?;
    let Some(kept) = &report.kept else {
        return Err(failed(format!("{report:?}"), "where the data is kept that was there before"));
    };
    is_there(stage, "kept", kept, &before).await?;
    is_there(stage, "the place of the report", &report.place, &wanted).await?;
    ensure_eq("list", &keys(&stage.list().await?), &vec!["k1"])
}

async fn once(stage: &Stage) -> Checked {
    stage.needs_live()?;
    let wanted = stage.stand.live().await;
    let made = stage.create("k1").await?;
    let before = changed(stage, &wanted).await?;
    let ask = Ask::new(&made, RestoreTo::Live);
    let report = worked("restore", stage.restore(&ask).await?)?;
    for _ in 0..2 {
        let written = changed(stage, &wanted).await?;
        let again = worked("restore", stage.restore(&ask).await?)?;
        ensure_eq("report of the same again", &again, &report)?;
        live_is(stage, "the same restore again", &written).await?;
    }
    match &report.kept {
        Some(kept) => is_there(stage, "kept", kept, &before).await,
        None => Err(failed(format!("{report:?}"), "where the data is kept that was there before")),
    }
}

async fn anew(stage: &Stage) -> Checked {
    stage.needs_live()?;
    let wanted = stage.stand.live().await;
    let made = stage.create("k1").await?;
    for _ in 0..2 {
        changed(stage, &wanted).await?;
        worked("restore", stage.restore(&Ask::new(&made, RestoreTo::Live)).await?)?;
        live_is(stage, "restored", &wanted).await?;
    }
    Ok(())
}
