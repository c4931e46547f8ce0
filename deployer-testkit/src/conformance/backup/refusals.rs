//! Restores that have to be refused, and leave everything as it is.

use deployer_core::{
    error::ErrorKind,
    ports::{Backup, BackupSource, RestoreTo},
};

use super::{
    rig::BackupRig,
    stage::{Ask, Stage, key, on, request},
};
use crate::conformance::check::{Check, Checked, Suite, ensure_eq, not_applicable};

const CONFIRM: Check = Check {
    name: "a-restore-needs-its-confirmation",
    proves: "`restore` fails if the confirmation names another key; live data is as before",
    matters: "yesterday's data takes the place of today's by a slip",
};

const FOREIGN: Check = Check {
    name: "a-foreign-backup-is-not-restored",
    proves: "`restore` fails if the backup is of another source; live data is as before",
    matters: "the data of one database takes the place of another's",
};

const CHANGED: Check = Check {
    name: "another-backup-than-before-is-not-restored",
    proves: "`restore` fails if the stored backup is not the one that was seen before; live data is as before",
    matters: "what is restored is not what the journal says was backed up",
};

const NOBODYS: Check = Check {
    name: "an-unknown-backup-is-not-restored",
    proves: "`restore` fails with `NotFound` for a key that nobody made; live data is as before",
    matters: "an empty place takes the place of live data",
};

const OCCUPIED: Check = Check {
    name: "a-restore-never-overwrites",
    proves: "`restore` fails if the place holds data; that and live data are as before",
    matters: "a restore that fails half-way over data leaves neither the old nor the new",
};

const NO_LIVE: Check = Check {
    name: "what-cannot-be-swapped-in-is-refused",
    proves: "`restore` in the place of live data fails where the provider cannot do that; live data is as before",
    matters: "a person believes that yesterday's data is live again",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn BackupRig) {
    on(suite, rig, CONFIRM, confirm).await;
    on(suite, rig, FOREIGN, foreign).await;
    on(suite, rig, CHANGED, changed).await;
    on(suite, rig, NOBODYS, nobodys).await;
    on(suite, rig, OCCUPIED, occupied).await;
    on(suite, rig, NO_LIVE, no_live).await;
}

/// A backup of data that changed since.
async fn made(stage: &Stage) -> Checked<Backup> {
    let made = stage.create("k1").await?;
    stage.stand.change().await;
    Ok(made)
}

/// Both ways of restoring.
fn ways(stage: &Stage, backup: &Backup) -> [Ask; 2] {
    [RestoreTo::Live, RestoreTo::New(stage.stand.place())].map(|to| Ask::new(backup, to))
}

async fn confirm(stage: &Stage) -> Checked {
    let made = made(stage).await?;
    stage.create("k2").await?;
    for confirmed in ["k2", "k3", "K1"] {
        for ask in ways(stage, &made) {
            let ask = Ask { confirmed: key(confirmed), ..ask };
            stage.refuses(&format!("confirmed as {confirmed}"), &ask).await?;
        }
    }
    Ok(())
}

async fn foreign(stage: &Stage) -> Checked {
    let made = made(stage).await?;
    let BackupSource { kind, identity } = made.source.clone();
    let others = [
        BackupSource { kind: kind.clone(), identity: format!("{identity}-other") },
        BackupSource { kind: format!("{kind}-other"), identity },
    ];
    for source in others {
        for ask in ways(stage, &Backup { source: source.clone(), ..made.clone() }) {
            stage.refuses(&format!("of {source}"), &ask).await?;
        }
    }
    let Some(foreign) = stage.stand.foreign() else { return Ok(()) };
    let theirs = stage.works("create", foreign.create(&stage.context, &request("k2"))).await?;
    let disguised = Backup { source: made.source.clone(), ..theirs.clone() };
    for backup in [theirs, disguised] {
        for ask in ways(stage, &backup) {
            stage.refuses("a backup of the other source", &ask).await?;
        }
    }
    Ok(())
}

async fn changed(stage: &Stage) -> Checked {
    let made = made(stage).await?;
    let other = stage.create("k2").await?;
    let checksum = format!("{}0", made.checksum.split(':').next().unwrap_or_default());
    let others =
        [Backup { checksum, ..made.clone() }, Backup { checksum: other.checksum.clone(), ..made.clone() }];
    for backup in others {
        for ask in ways(stage, &backup) {
            stage.refuses("with another checksum", &ask).await?;
        }
    }
    Ok(())
}

async fn nobodys(stage: &Stage) -> Checked {
    let made = made(stage).await?;
    let unknown = Backup { key: key("k9"), ..made };
    for ask in ways(stage, &unknown) {
        if ask.to == RestoreTo::Live && !stage.stand.restores_live() {
            continue;
        }
        let error = stage.refuses("a key that nobody made", &ask).await?;
        ensure_eq("kind of error", &error.kind, &ErrorKind::NotFound)?;
    }
    Ok(())
}

async fn occupied(stage: &Stage) -> Checked {
    let made = made(stage).await?;
    let place = stage.stand.place();
    if !stage.stand.occupy(&place).await {
        return Err(not_applicable("the rig cannot put data into a place"));
    }
    let ask = Ask::new(&made, RestoreTo::New(place));
    stage.refuses("a place that is taken", &ask).await?;
    stage.refuses("a place that is taken, asked again", &ask).await.map(drop)
}

async fn no_live(stage: &Stage) -> Checked {
    if stage.stand.restores_live() {
        return Err(not_applicable("this provider can restore in the place of live data"));
    }
    let made = made(stage).await?;
    stage.refuses("in the place of live data", &Ask::new(&made, RestoreTo::Live)).await.map(drop)
}
