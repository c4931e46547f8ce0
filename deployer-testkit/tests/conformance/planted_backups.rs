//! Backup providers with one fault each.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{BackupKey, DeploymentId, Timestamp},
    ports::{
        Backup, BackupProvider, BackupRequest, BackupSource, CallContext, Confirmation, Preflight,
        RestorePlace, RestoreReport, RestoreTo, Result, VerifyLevel,
    },
};
use deployer_testkit::conformance::{self, BackupRig, BackupStand, Damage};
use parking_lot::Mutex;

use crate::backups::{DiskStand, Kind};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    PreflightMakes,
    ClaimsProof,
    LeavesHalf,
    PretendsLive,
    AlwaysNew,
    TakesForeignKey,
    OneAtATime,
    ListsHalf,
    NewestFirst,
    ListsForeign,
    ForgetsLevels,
    Lowers,
    Pretends,
    TrustsSize,
    KeepsProof,
    GoneIsFine,
    NoConfirmation,
    AnySource,
    AnyChecksum,
    Overwrites,
    NewTouchesLive,
    HalfRestored,
    LosesKept,
    RestoresAgain,
    OnceForAll,
    RefusalTouchesLive,
    PrunesProven,
    PrunesReferenced,
    PrunesForeign,
    PrunesMoreEachTime,
    SaysNothing,
    TellsSecret,
}

/// Each with the check that has to find it.
const FAULTS: [(Fault, &str); 34] = [
    (Fault::PreflightMakes, "preflight-has-no-effect"),
    (Fault::ClaimsProof, "a-backup-says-what-it-is"),
    (Fault::LeavesHalf, "a-dropped-create-leaves-nothing-half-made"),
    (Fault::LeavesHalf, "a-late-create-leaves-nothing-half-made"),
    (Fault::PretendsLive, "what-cannot-be-swapped-in-is-refused"),
    (Fault::AlwaysNew, "the-same-key-is-the-same-backup"),
    (Fault::TakesForeignKey, "a-key-of-another-source-is-refused"),
    (Fault::OneAtATime, "two-creates-at-once-are-one"),
    (Fault::ListsHalf, "a-failed-create-leaves-nothing-half-made"),
    (Fault::NewestFirst, "backups-are-listed-oldest-first"),
    (Fault::ListsForeign, "only-own-backups-are-listed"),
    (Fault::ForgetsLevels, "each-level-is-recorded"),
    (Fault::Lowers, "a-lesser-look-takes-nothing-back"),
    (Fault::Pretends, "a-level-that-it-cannot-reach-is-refused"),
    (Fault::TrustsSize, "a-flipped-byte-is-found"),
    (Fault::KeepsProof, "a-missing-end-is-found"),
    (Fault::GoneIsFine, "what-was-removed-is-not-found"),
    (Fault::NoConfirmation, "a-restore-needs-its-confirmation"),
    (Fault::AnySource, "a-foreign-backup-is-not-restored"),
    (Fault::AnyChecksum, "another-backup-than-before-is-not-restored"),
    (Fault::Overwrites, "a-restore-never-overwrites"),
    (Fault::NewTouchesLive, "a-restore-to-a-new-place-brings-the-data-back"),
    (Fault::HalfRestored, "a-restore-to-a-new-place-brings-the-data-back"),
    (Fault::LosesKept, "a-restore-takes-the-place-of-live-data"),
    (Fault::RestoresAgain, "a-restore-is-done-once"),
    (Fault::OnceForAll, "another-deployment-restores-anew"),
    (Fault::RefusalTouchesLive, "an-unknown-backup-is-not-restored"),
    (Fault::PrunesProven, "prune-keeps-the-last-proven-one"),
    (Fault::PrunesProven, "prune-keeps-the-last-one"),
    (Fault::PrunesReferenced, "prune-keeps-what-is-referenced"),
    (Fault::PrunesForeign, "prune-leaves-other-sources-alone"),
    (Fault::PrunesMoreEachTime, "prune-again-removes-nothing"),
    (Fault::SaysNothing, "prune-removes-the-rest"),
    (Fault::TellsSecret, "nothing-shows-a-secret"),
];

#[derive(Debug)]
struct Broken(Fault);

#[async_trait]
impl BackupRig for Broken {
    async fn stand(&self) -> Arc<dyn BackupStand> {
        let kind = match self.0 {
            Fault::Pretends | Fault::TellsSecret => Kind::Copy,
            Fault::PretendsLive => Kind::Names,
            _ => Kind::File,
        };
        let disk = Arc::new(DiskStand::new(kind));
        let provider = Arc::new(Faulty::new(self.0, &disk, disk.provider(), ""));
        Arc::new(BrokenStand { fault: self.0, disk, provider })
    }
}

#[derive(Debug)]
struct BrokenStand {
    fault: Fault,
    disk: Arc<DiskStand>,
    provider: Arc<Faulty>,
}

impl BrokenStand {
    fn faulty(
        &self,
        inner: Option<Arc<dyn BackupProvider>>,
        secret: &str,
    ) -> Option<Arc<dyn BackupProvider>> {
        Some(Arc::new(Faulty::new(self.fault, &self.disk, inner?, secret)))
    }
}

#[async_trait]
impl BackupStand for BrokenStand {
    fn provider(&self) -> Arc<dyn BackupProvider> {
        self.provider.clone()
    }

    async fn change(&self) {
        self.disk.change().await;
    }

    async fn live(&self) -> Vec<u8> {
        self.disk.live().await
    }

    async fn content(&self, place: &RestorePlace) -> Option<Vec<u8>> {
        self.disk.content(place).await
    }

    fn place(&self) -> RestorePlace {
        self.disk.place()
    }

    fn restores_live(&self) -> bool {
        self.disk.restores_live()
    }

    fn levels(&self) -> Vec<VerifyLevel> {
        self.disk.levels()
    }

    async fn occupy(&self, place: &RestorePlace) -> bool {
        self.disk.occupy(place).await
    }

    async fn corrupt(&self, backup: &Backup, damage: Damage) -> bool {
        self.disk.corrupt(backup, damage).await
    }

    fn foreign(&self) -> Option<Arc<dyn BackupProvider>> {
        let foreign = self.disk.foreign();
        if self.fault == Fault::TakesForeignKey { self.faulty(foreign, "") } else { foreign }
    }

    fn failing(&self) -> Option<Arc<dyn BackupProvider>> {
        if self.fault != Fault::ListsHalf {
            return self.disk.failing();
        }
        let whole = Faulty::new(self.fault, &self.disk, self.disk.provider(), "");
        Some(Arc::new(Faulty { fails_after: true, ..whole }))
    }

    fn with_secret(&self, value: &str, fails: bool) -> Option<Arc<dyn BackupProvider>> {
        self.faulty(self.disk.with_secret(value, fails), value)
    }

    async fn stored(&self) -> Option<Vec<u8>> {
        self.disk.stored().await
    }
}

/// A good provider with a fault around it.
#[derive(Debug)]
struct Faulty {
    fault: Fault,
    disk: Arc<DiskStand>,
    inner: Arc<dyn BackupProvider>,
    secret: Hidden,
    fails_after: bool,
    half: Mutex<Vec<Backup>>,
    seen: Mutex<BTreeMap<BackupKey, u64>>,
    levels: Mutex<BTreeMap<BackupKey, VerifyLevel>>,
    busy: AtomicBool,
    calls: AtomicU32,
}

struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Faulty {
    fn new(fault: Fault, disk: &Arc<DiskStand>, inner: Arc<dyn BackupProvider>, secret: &str) -> Self {
        Self {
            fault,
            disk: disk.clone(),
            inner,
            secret: Hidden(secret.to_owned()),
            fails_after: false,
            half: Mutex::default(),
            seen: Mutex::default(),
            levels: Mutex::default(),
            busy: AtomicBool::new(false),
            calls: AtomicU32::new(0),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn with_level(&self, mut backup: Backup) -> Backup {
        match self.fault {
            Fault::ForgetsLevels => backup.verified = None,
            Fault::Lowers | Fault::KeepsProof => {
                backup.verified = self.levels.lock().get(&backup.key).copied().or(backup.verified);
            }
            _ => {}
        }
        backup
    }

    /// The backup of this key as it is stored.
    async fn stored(&self, context: &CallContext, backup: &Backup) -> Backup {
        let listed = self.disk.provider().list(context).await.unwrap_or_default();
        listed.into_iter().find(|one| one.key == backup.key).unwrap_or_else(|| backup.clone())
    }

    /// What was asked for a restore, as it is passed on.
    async fn misheard(
        &self,
        context: &CallContext,
        backup: &Backup,
        to: &RestoreTo,
    ) -> (CallContext, Backup) {
        let (mut context, mut backup) = (context.clone(), backup.clone());
        match self.fault {
            Fault::AnySource => backup.source = self.stored(&context, &backup).await.source,
            Fault::AnyChecksum => backup.checksum = self.stored(&context, &backup).await.checksum,
            Fault::RestoresAgain => {
                let call = self.calls.fetch_add(1, Ordering::Relaxed);
                context.deployment = DeploymentId::new(format!("again-{call}")).unwrap();
            }
            Fault::OnceForAll => context.deployment = DeploymentId::new("always-me").unwrap(),
            Fault::Overwrites => {
                if let RestoreTo::New(place) = to {
                    // It may hold nothing.
                    let _ = fs::remove_file(&place.0);
                }
            }
            _ => {}
        }
        (context, backup)
    }
}

/// What is left of a backup that nobody finished.
fn half_made(request: &BackupRequest) -> Backup {
    let moment = Timestamp::from_millis(1_767_225_600_000);
    Backup {
        key: request.key.clone(),
        reason: request.reason.clone(),
        as_of: moment,
        created_at: moment,
        bytes: 1,
        checksum: "sha256:0".to_owned(),
        source: BackupSource { kind: "file".to_owned(), identity: "conformance".to_owned() },
        details: BTreeMap::new(),
        verified: None,
    }
}

#[async_trait]
impl BackupProvider for Faulty {
    async fn preflight(&self, context: &CallContext) -> Result<Preflight> {
        if self.is(Fault::PreflightMakes) {
            let request = BackupRequest { key: BackupKey::new("try").unwrap(), reason: String::new() };
            self.inner.create(context, &request).await?;
        }
        self.inner.preflight(context).await
    }

    async fn create(&self, context: &CallContext, request: &BackupRequest) -> Result<Backup> {
        if self.is(Fault::OneAtATime) && self.busy.swap(true, Ordering::Relaxed) {
            return Err(BackendError::new(ErrorKind::Conflict, "create", "somebody else is at it"));
        }
        self.half.lock().push(half_made(request));
        let answer = self.inner.create(context, request).await;
        if answer.is_ok() {
            self.half.lock().retain(|half| half.key != request.key);
        }
        self.busy.store(false, Ordering::Relaxed);
        let answer = match (self.fault, answer) {
            (Fault::ListsHalf, Ok(_)) if self.fails_after => {
                Err(BackendError::new(ErrorKind::Unexpected, "create", "it broke off half-way"))
            }
            (Fault::TakesForeignKey, Err(error)) if error.kind == ErrorKind::AlreadyExists => {
                let mut listed = self.disk.provider().list(context).await?;
                listed.retain(|one| one.key == request.key);
                listed.pop().ok_or(error)
            }
            (Fault::TellsSecret, Err(mut error)) => {
                error.message = format!("{}: with {}", error.message, self.secret.0);
                Err(error)
            }
            (_, answer) => answer,
        };
        let mut made = answer?;
        let mut seen = self.seen.lock();
        let times = seen.entry(request.key.clone()).or_default();
        *times += 1;
        if self.is(Fault::ClaimsProof) {
            made.verified = made.verified.or(Some(VerifyLevel::Checksum));
        }
        if self.is(Fault::AlwaysNew) {
            made.created_at = made.created_at.after(std::time::Duration::from_secs(*times - 1));
        }
        Ok(made)
    }

    async fn verify(&self, context: &CallContext, backup: &Backup, level: VerifyLevel) -> Result<Backup> {
        let asked = if self.is(Fault::TrustsSize) { VerifyLevel::Exists } else { level };
        let answer = self.inner.verify(context, backup, asked).await;
        let mut found = match answer {
            Err(error) if self.is(Fault::GoneIsFine) && error.kind == ErrorKind::NotFound => backup.clone(),
            Err(error) if self.is(Fault::Pretends) && error.kind == ErrorKind::Unsupported => {
                self.inner.verify(context, backup, VerifyLevel::Checksum).await?
            }
            answer => answer?,
        };
        if matches!(self.fault, Fault::TrustsSize | Fault::Pretends) {
            found.verified = Some(level);
        }
        self.levels.lock().insert(backup.key.clone(), level);
        Ok(if self.is(Fault::ForgetsLevels) { found } else { self.with_level(found) })
    }

    async fn restore(
        &self,
        context: &CallContext,
        backup: &Backup,
        to: &RestoreTo,
        confirmation: &Confirmation,
    ) -> Result<RestoreReport> {
        let (context, backup) = self.misheard(context, backup, to).await;
        let own = Confirmation { key: backup.key.clone() };
        let confirmation = if self.is(Fault::NoConfirmation) { &own } else { confirmation };
        let answer = self.inner.restore(&context, &backup, to, confirmation).await;
        match (self.fault, &answer, to) {
            (Fault::RefusalTouchesLive, Err(_), _) | (Fault::NewTouchesLive, Ok(_), RestoreTo::New(_)) => {
                self.disk.change().await;
            }
            (Fault::HalfRestored, Ok(report), RestoreTo::New(_)) => {
                fs::write(&report.place.0, "half").unwrap();
            }
            _ => {}
        }
        let mut report = match answer {
            Err(error) if self.is(Fault::PretendsLive) && error.kind == ErrorKind::Unsupported => {
                let place = RestorePlace("live".to_owned());
                RestoreReport { key: backup.key.clone(), place, kept: None, as_of: backup.as_of }
            }
            answer => answer?,
        };
        if self.is(Fault::LosesKept) {
            report.kept = None;
        }
        Ok(report)
    }

    async fn list(&self, context: &CallContext) -> Result<Vec<Backup>> {
        let mut listed: Vec<_> =
            self.inner.list(context).await?.into_iter().map(|one| self.with_level(one)).collect();
        match self.fault {
            Fault::NewestFirst => listed.reverse(),
            Fault::LeavesHalf => listed.extend(self.half.lock().iter().cloned()),
            Fault::ListsForeign => listed.extend(self.disk.foreign().unwrap().list(context).await?),
            _ => {}
        }
        Ok(listed)
    }

    async fn prune(&self, context: &CallContext, keep: u32, referenced: &[BackupKey]) -> Result<Vec<Backup>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let keep = if self.is(Fault::PrunesMoreEachTime) { keep.saturating_sub(call) } else { keep };
        let referenced = if self.is(Fault::PrunesReferenced) { &[] } else { referenced };
        let mut removed = self.inner.prune(context, keep, referenced).await?;
        match self.fault {
            Fault::SaysNothing => removed.clear(),
            Fault::PrunesForeign => drop(self.disk.foreign().unwrap().prune(context, keep, &[]).await?),
            Fault::PrunesProven if keep == 0 => {
                for backup in self.inner.list(context).await? {
                    fs::remove_dir_all(self.disk.path("store").join(backup.key.as_str())).unwrap();
                    removed.push(backup);
                }
            }
            _ => {}
        }
        Ok(removed)
    }
}

#[tokio::test]
async fn faults_of_backup_providers_are_found_by_name() {
    let runs = FAULTS.map(|(fault, check)| {
        tokio::spawn(async move { (fault, check, conformance::backup(&Broken(fault)).await) })
    });
    for run in runs {
        let (fault, check, report) = run.await.unwrap();
        assert!(report.failed().contains(&check), "{fault:?} was not found:\n{report}");
        assert!(report.passed().len() > 10, "{fault:?} breaks nearly everything:\n{report}");
    }
}
