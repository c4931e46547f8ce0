//! The suite for backup providers.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    error::BackendError,
    model::BackupKey,
    ports::{
        Backup, BackupProvider, BackupRequest, CallContext, Confirmation, RestorePlace, RestoreReport,
        RestoreTo, VerifyLevel,
    },
};

use super::{
    ConformanceReport,
    check::{Check, Checked, Note, Suite, ensure, ensure_eq, failed, not_applicable, poll_and_drop},
    scope,
};

/// What the [backup suite](backup) needs to know of an implementation.
#[async_trait]
pub trait BackupRig: Debug + Send + Sync {
    /// A provider whose data and backups nobody else uses: each time a new one, with some data and without backups.
    async fn stand(&self) -> Arc<dyn BackupStand>;

    /// How long a call may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// One provider with its data.
#[async_trait]
pub trait BackupStand: Debug + Send + Sync {
    /// The provider.
    fn provider(&self) -> Arc<dyn BackupProvider>;

    /// Makes the live data other than it ever was.
    async fn change(&self);

    /// The live data, as something that can be compared: its content, or a checksum that the rig computes itself.
    async fn live(&self) -> Vec<u8>;

    /// A place that holds nothing, to restore to.
    fn place(&self) -> RestorePlace;

    /// Puts data of others into a place. Whether it could be done.
    async fn occupy(&self, place: &RestorePlace) -> bool {
        let _ = place;
        false
    }

    /// Changes a byte of what was stored of a backup. Whether it could be done.
    async fn corrupt(&self, backup: &Backup) -> bool {
        let _ = backup;
        false
    }

    /// How thoroughly this provider can look.
    fn levels(&self) -> Vec<VerifyLevel> {
        vec![VerifyLevel::Exists, VerifyLevel::Checksum, VerifyLevel::Restored]
    }

    /// Ends what belongs to it.
    async fn clean_up(&self) {}
}

const CREATE: Check = Check {
    name: "the-same-key-is-the-same-backup",
    proves: "`create` is idempotent by key: a complete backup of this key is returned as it is, also when data changed",
    matters: "a deployment that is resumed after its migration would take a backup of the migrated data in the place of \
              the one before",
};

const LIST: Check = Check {
    name: "backups-are-listed-oldest-first",
    proves: "`list` has all complete backups, oldest first, as `create` returned them",
    matters: "the newest backup is restored by its place in the list",
};

const VERIFY: Check = Check {
    name: "a-backup-is-verified-up-to-a-level",
    proves: "`verify` records the level that was reached, and a lesser look does not take it back",
    matters: "a migration runs only behind a verified backup: a level that is lost stops it, one that is invented harms",
};

const CORRUPT: Check = Check {
    name: "a-damaged-backup-is-found",
    proves: "`verify` at `Checksum` or above fails if the backup is not what it should be",
    matters: "the data is gone on the day on which it is needed",
};

const RESTORE: Check = Check {
    name: "a-restore-brings-the-data-back",
    proves: "`restore` to a new place swaps in exactly what was backed up; said again it is the same",
    matters: "this is what a backup is for",
};

const CONFIRM: Check = Check {
    name: "a-restore-needs-its-confirmation",
    proves: "`restore` fails if the confirmation names another key; live data is as before",
    matters: "yesterday's data takes the place of today's by a slip",
};

const OCCUPIED: Check = Check {
    name: "a-restore-never-overwrites",
    proves: "`restore` fails if the place holds data; that and live data are as before",
    matters: "a restore that fails half-way over live data leaves neither the old nor the new",
};

const PRUNE: Check = Check {
    name: "prune-keeps-what-is-needed",
    proves: "`prune` keeps the newest, the last verified one, and those that are referenced; it says what it removed",
    matters: "the backup that a half-done deployment would go back to is removed by the next one",
};

const DROPPED: Check = Check {
    name: "a-dropped-create-leaves-nothing-half-made",
    proves: "nothing half-made keeps a key: after a dropped `create` the same key can be made, and is complete",
    matters: "half a backup is taken for a whole one",
};

const PREFLIGHT: Check = Check {
    name: "preflight-has-no-effect",
    proves: "`preflight` works where backups can be made, and makes none",
    matters: "a rehearsal leaves things behind, or refuses a deployment that could go on",
};

/// Whether a backup provider keeps the contract of [`BackupProvider`].
pub async fn backup(rig: &dyn BackupRig) -> ConformanceReport {
    let stand = rig.stand().await;
    let name = format!("{:?}", stand.provider());
    stand.clean_up().await;
    let name = name.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
    let mut suite = Suite::new("BackupProvider", name, rig.patience() * 10);
    on(&mut suite, rig, PREFLIGHT, preflight).await;
    on(&mut suite, rig, CREATE, create).await;
    on(&mut suite, rig, LIST, list).await;
    on(&mut suite, rig, VERIFY, verify).await;
    on(&mut suite, rig, CORRUPT, corrupt).await;
    on(&mut suite, rig, RESTORE, restore).await;
    on(&mut suite, rig, CONFIRM, confirm).await;
    on(&mut suite, rig, OCCUPIED, occupied).await;
    on(&mut suite, rig, PRUNE, prune).await;
    on(&mut suite, rig, DROPPED, dropped).await;
    suite.finish()
}

async fn on<N: Note>(
    suite: &mut Suite,
    rig: &dyn BackupRig,
    check: Check,
    body: impl AsyncFnOnce(&Stage) -> Checked<N>,
) {
    let inner = rig.stand().await;
    let context = scope::context(&scope::fresh_workload(), 1, rig.patience());
    let stage = Stage { provider: inner.provider(), inner, context };
    suite.run(check, body(&stage)).await;
    stage.inner.clean_up().await;
}

#[derive(Debug)]
struct Stage {
    inner: Arc<dyn BackupStand>,
    provider: Arc<dyn BackupProvider>,
    context: CallContext,
}

impl Stage {
    async fn works<T>(&self, what: &str, call: impl Future<Output = Result<T, BackendError>>) -> Checked<T> {
        scope::works(what, self.context.deadline, call).await
    }

    async fn create(&self, key: &str) -> Checked<Backup> {
        self.works("create", self.provider.create(&self.context, &request(key))).await
    }

    async fn list(&self) -> Checked<Vec<Backup>> {
        self.works("list", self.provider.list(&self.context)).await
    }

    async fn verify(&self, backup: &Backup, level: VerifyLevel) -> Checked<Backup> {
        self.works("verify", self.provider.verify(&self.context, backup, level)).await
    }

    async fn restore(
        &self,
        backup: &Backup,
        to: &RestoreTo,
        confirmed: &str,
    ) -> Checked<Result<RestoreReport, BackendError>> {
        let confirmation = Confirmation { key: key(confirmed) };
        let call = self.provider.restore(&self.context, backup, to, &confirmation);
        scope::within("restore", self.context.deadline, call).await
    }
}

fn key(text: &str) -> BackupKey {
    BackupKey::new(text).expect("the suite has short keys of letters and digits")
}

fn request(text: &str) -> BackupRequest {
    BackupRequest { key: key(text), reason: "conformance".to_owned() }
}

/// What identifies a backup, whatever became of its verification.
fn identity(backup: &Backup) -> (String, String, u64) {
    (backup.key.to_string(), backup.checksum.clone(), backup.bytes)
}

fn keys(backups: &[Backup]) -> Vec<&str> {
    backups.iter().map(|backup| backup.key.as_str()).collect()
}

async fn preflight(stage: &Stage) -> Checked {
    for _ in 0..2 {
        stage.works("preflight", stage.provider.preflight(&stage.context)).await?;
    }
    ensure_eq("list", &keys(&stage.list().await?), &Vec::new())
}

async fn create(stage: &Stage) -> Checked {
    let first = stage.create("k1").await?;
    ensure_eq("key", &first.key.as_str(), &"k1")?;
    let checksum = &first.checksum;
    ensure(
        checksum.contains(':'),
        || format!("checksum {checksum:?}"),
        "the algorithm in front: `sha256:…`",
    )?;
    stage.inner.change().await;
    let again = stage.create("k1").await?;
    ensure_eq("the backup", &identity(&again), &identity(&first))?;
    ensure_eq("when it was complete", &again.created_at, &first.created_at)?;
    let other = stage.create("k2").await?;
    ensure(other.checksum != first.checksum, || format!("{other:?}"), "other data, another checksum")?;
    ensure_eq("list", &keys(&stage.list().await?), &vec!["k1", "k2"])
}

async fn list(stage: &Stage) -> Checked {
    let mut made = Vec::new();
    // In another order than that of their names.
    for key in ["k3", "k1", "k2"] {
        made.push(identity(&stage.create(key).await?));
        stage.inner.change().await;
    }
    let listed: Vec<_> = stage.list().await?.iter().map(identity).collect();
    ensure_eq("list", &listed, &made)
}

async fn verify(stage: &Stage) -> Checked {
    let made = stage.create("k1").await?;
    let mut reached = made.verified;
    for level in stage.inner.levels() {
        let verified = stage.verify(&made, level).await?;
        ensure(verified.verified >= Some(level), || format!("{verified:?}"), format!("at least {level:?}"))?;
        reached = reached.max(Some(level));
    }
    stage.verify(&made, VerifyLevel::Exists).await?;
    let listed = stage.list().await?;
    let kept = listed.first().is_some_and(|backup| backup.verified >= reached);
    ensure(kept, || format!("{listed:?}"), format!("a backup verified up to {reached:?}"))
}

async fn corrupt(stage: &Stage) -> Checked {
    let made = stage.create("k1").await?;
    if !stage.inner.corrupt(&made).await {
        return Err(not_applicable("the rig cannot change what is stored"));
    }
    for level in stage.inner.levels().into_iter().filter(|level| *level >= VerifyLevel::Checksum) {
        let call = stage.provider.verify(&stage.context, &made, level);
        if let Ok(verified) = scope::within("verify", stage.context.deadline, call).await? {
            return Err(failed(format!("at {level:?}: {verified:?}"), "an error"));
        }
    }
    let live = stage.inner.live().await;
    let answer = stage.restore(&made, &RestoreTo::Live, "k1").await?;
    let same = stage.inner.live().await == live;
    ensure(
        answer.is_err() && same,
        || format!("restored: {answer:?}, live data as before: {same}"),
        "no restore",
    )
}

async fn restore(stage: &Stage) -> Checked {
    let wanted = stage.inner.live().await;
    let made = stage.create("k1").await?;
    stage.inner.change().await;
    let changed = stage.inner.live().await;
    ensure(changed != wanted, || "the rig changed nothing", "other live data")?;
    for _ in 0..2 {
        let answer = stage.restore(&made, &RestoreTo::Live, "k1").await?;
        crate::conformance::check::worked("restore", answer)?;
        let live = stage.inner.live().await;
        let seen = || format!("{} bytes, which differ", live.len());
        ensure(live == wanted, seen, format!("exactly the {} bytes that were backed up", wanted.len()))?;
    }
    ensure_eq("list", &keys(&stage.list().await?), &vec!["k1"])
}

async fn confirm(stage: &Stage) -> Checked {
    let made = stage.create("k1").await?;
    stage.inner.change().await;
    let live = stage.inner.live().await;
    for other in ["k2", "K1"] {
        let answer = stage.restore(&made, &RestoreTo::Live, other).await?;
        ensure(answer.is_err(), || format!("restored with a confirmation for {other:?}"), "a refusal")?;
        ensure(stage.inner.live().await == live, || "live data changed", "live data as before")?;
    }
    Ok(())
}

async fn occupied(stage: &Stage) -> Checked {
    let made = stage.create("k1").await?;
    stage.inner.change().await;
    let (live, place) = (stage.inner.live().await, stage.inner.place());
    if !stage.inner.occupy(&place).await {
        return Err(not_applicable("the rig cannot put data into a place"));
    }
    let answer = stage.restore(&made, &RestoreTo::New(place), "k1").await?;
    ensure(answer.is_err(), || "restored over data", "a refusal")?;
    ensure(stage.inner.live().await == live, || "live data changed", "live data as before")
}

async fn prune(stage: &Stage) -> Checked {
    for key in ["k1", "k2", "k3", "k4", "k5"] {
        let made = stage.create(key).await?;
        if key == "k2" {
            stage.verify(&made, VerifyLevel::Checksum).await?;
        }
        stage.inner.change().await;
    }
    let referenced = [key("k1")];
    let removed = stage.works("prune", stage.provider.prune(&stage.context, 2, &referenced)).await?;
    ensure_eq("removed", &keys(&removed), &vec!["k3"])?;
    ensure_eq("left", &keys(&stage.list().await?), &vec!["k1", "k2", "k4", "k5"])?;
    let again = stage.works("prune", stage.provider.prune(&stage.context, 2, &referenced)).await?;
    ensure_eq("removed by the same again", &keys(&again), &Vec::new())?;
    stage.works("prune", stage.provider.prune(&stage.context, 0, &[])).await?;
    ensure_eq("left when none is wanted", &keys(&stage.list().await?), &vec!["k2"])
}

async fn dropped(stage: &Stage) -> Checked {
    let wanted = stage.inner.live().await;
    for (number, polls) in [0, 1, 2, 3, 5, 8, 13].into_iter().enumerate() {
        let key = format!("k{number}");
        poll_and_drop(stage.provider.create(&stage.context, &request(&key)), polls).await;
        let made = stage.create(&key).await?;
        stage.verify(&made, VerifyLevel::Checksum).await?;
        let listed = stage.list().await?;
        let times = keys(&listed).iter().filter(|listed| **listed == key).count();
        ensure(times == 1, || format!("{:?}", keys(&listed)), format!("{key} once"))?;
        let answer = stage.restore(&made, &RestoreTo::Live, &key).await?;
        crate::conformance::check::worked("restore", answer)?;
        ensure(stage.inner.live().await == wanted, || "other data", "exactly what was backed up")?;
    }
    Ok(())
}
