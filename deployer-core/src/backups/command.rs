//! Backups by programs that know a format.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use super::{
    command_run::{Programs, Step},
    command_settings::CommandBackupBuilder,
    disk::sync_tree,
    line::Values,
    manifest::Manifest,
    restore::{Begun, Restore},
    room::{check_room, problems},
    scan::open,
    store::{Locked, Making, Passing, Store, checksum},
    tree::{confirm, is_damage, place},
    work::{Doing as _, Work, blocking},
};
use crate::{
    error::{ErrorKind, Problem},
    model::BackupKey,
    ports::{
        Backup, BackupProvider, BackupRequest, BackupSource, CallContext, Confirmation, Preflight,
        RestorePlace, RestoreReport, RestoreTo, Result, VerifyLevel,
    },
};

/// The archive in the directory of a backup.
const ARCHIVE: &str = "archive";

/// Backups by programs that know a format: `pg_dump`, `sqlite3`, a script.
///
/// The programs are started without a shell, with an environment of their own, killed with all they started at the
/// deadline, and what they print is cut and shown without secrets. What they say is not believed: an archive has to be
/// there, to have a size, and gets a checksum. Keys, manifests, retention and the swap are those of
/// [`DirectoryBackup`](super::DirectoryBackup).
///
/// ```
/// use deployer_core::backups::{CommandBackup, CommandLine};
///
/// let shop = CommandBackup::builder("postgres-logical", "shop/production", "/backup/shop")
///     .create(CommandLine::program("pg_dump").argument("--format=custom").argument("--dbname=shop").output_is_archive())
///     .verify(CommandLine::program("pg_restore").argument("--file=/dev/null").argument("{archive}"))
///     .restore(
///         CommandLine::program("pg_restore")
///             .argument("--single-transaction")
///             .argument("--dbname={place}")
///             .argument("{archive}"),
///     )
///     .places_are_names()
///     .inherit("PGHOST")
///     .build();
/// assert!(shop.is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct CommandBackup {
    settings: Arc<CommandBackupBuilder>,
    store: Store,
}

impl CommandBackup {
    /// Backups to a store. `kind` says what can read them, as `postgres-logical`; `source` names the data over releases
    /// and hosts. Only backups of the same kind and source are listed, pruned and restored.
    pub fn builder(
        kind: impl Into<String>,
        source: impl Into<String>,
        store: impl Into<PathBuf>,
    ) -> CommandBackupBuilder {
        let source = BackupSource { kind: kind.into(), identity: source.into() };
        CommandBackupBuilder::new(source, &store.into())
    }

    pub(super) fn from_settings(settings: CommandBackupBuilder) -> Self {
        let store = Store::new(settings.store.clone(), settings.source.clone(), ARCHIVE);
        Self { settings: Arc::new(settings), store }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: &Work,
        body: impl FnOnce(&Self, &Work) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let own = self.clone();
        blocking(work, move |work| body(&own, work)).await
    }

    async fn lock(&self, work: &Work) -> Result<Locked> {
        self.blocking(work, |own, work| own.store.lock(work)).await
    }

    /// Work that keeps its right to the store also when nobody waits for it any more.
    async fn holding<T: Send + 'static>(
        &self,
        work: &Work,
        locked: &Locked,
        body: impl FnOnce(&Self, &Work, &Locked) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let locked = locked.clone();
        self.blocking(work, move |own, work| body(own, work, &locked)).await
    }

    fn programs<'a>(&'a self, work: &'a Work) -> Programs<'a> {
        Programs { settings: &self.settings, work }
    }

    fn estimate(&self, work: &Work) -> Result<Option<u64>> {
        let largest = self.store.list(work)?.iter().map(|backup| backup.bytes).max();
        Ok(self.settings.estimated_bytes.or(largest))
    }

    fn begin(
        &self,
        work: &Work,
        locked: &Locked,
        key: &BackupKey,
    ) -> Result<std::result::Result<Backup, Making>> {
        if let Some(manifest) = self.store.find(work, key)? {
            let directory = self.store.directory();
            super::disk::sync_directory(directory).doing(work, "sync", directory)?;
            return Ok(Ok(manifest.backup));
        }
        check_room(work, self.store.directory(), self.estimate(work)?.unwrap_or(0))?;
        self.store.begin(work, locked, key).map(Err)
    }

    fn finish(&self, work: &Work, making: Making, request: &BackupRequest) -> Result<Backup> {
        let archive = &making.archive;
        let file = open(archive).doing(work, "find what the program made at", archive)?;
        std::fs::set_permissions(archive, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| file.sync_all())
            .doing(work, "sync", archive)?;
        let packed = checksum(work, archive)?;
        let least = self.settings.least_bytes.max(1);
        if packed.bytes < least {
            let message =
                format!("the program made {} bytes and at least {least} were expected", packed.bytes);
            return Err(work.error(ErrorKind::Unexpected, message));
        }
        self.store.finish(work, making, request, &packed, |backup| Manifest::new(backup, None))
    }

    async fn look_at(&self, work: &Work, locked: &Locked, backup: &Backup, level: VerifyLevel) -> Result<()> {
        let own = backup.clone();
        self.blocking(work, move |this, work| {
            this.store.check_size(work, &own)?;
            if level >= VerifyLevel::Checksum { this.store.check_sum(work, &own) } else { Ok(()) }
        })
        .await?;
        let archive = self.store.archive(&backup.key);
        let values = Values { archive: &archive, place: None, key: &backup.key };
        if level >= VerifyLevel::Listed && self.settings.verify.is_some() {
            self.programs(work).run(Step::Verify, &values, None).await?;
        }
        if level < VerifyLevel::Restored {
            return Ok(());
        }
        let bytes = backup.bytes;
        self.blocking(work, move |this, work| check_room(work, this.store.directory(), bytes)).await?;
        let checking = self.store.checking(locked, &backup.key);
        self.restore_to(work, backup, &checking.path.to_string_lossy()).await?;
        let made = checking.path.symlink_metadata();
        made.map(drop).doing(work, "find what the program restored to", &checking.path)
    }

    /// Whether this provider can look so closely.
    fn can(&self, work: &Work, level: VerifyLevel) -> Result<()> {
        let settings = &self.settings;
        let lacking = match level {
            VerifyLevel::Listed if settings.verify.is_none() => "no program verifies an archive",
            VerifyLevel::Restored if settings.restore.is_none() => "no program restores an archive",
            VerifyLevel::Restored if settings.places_are_names => {
                "what is restored to a name cannot be thrown away again"
            }
            _ => return Ok(()),
        };
        Err(work.error(ErrorKind::Unsupported, lacking))
    }

    /// Whether the archive is worth being restored there.
    fn check_whole(&self, work: &Work, backup: &Backup, at: &Path) -> Result<()> {
        self.store.check_size(work, backup)?;
        self.store.check_sum(work, backup)?;
        check_room(work, at, backup.bytes)
    }

    fn place(&self, work: &Work, live: Option<&Path>, to: &RestoreTo) -> Result<PathBuf> {
        match (live, to) {
            (None, RestoreTo::Live) => {
                let message =
                    "what is live was not named, so nothing can take its place: restore to a new place";
                Err(work.error(ErrorKind::Unsupported, message))
            }
            (live, to) => place(work, live.unwrap_or(self.store.directory()), self.store.directory(), to),
        }
    }

    async fn restore_by_name(
        &self,
        work: &Work,
        locked: &Locked,
        context: &CallContext,
        backup: &Backup,
        to: &RestoreTo,
    ) -> Result<RestoreReport> {
        const MOST: usize = 255;
        let RestoreTo::New(RestorePlace(name)) = to else {
            let message =
                "a name cannot be swapped in: restore to a new one, and swap with the tools of the database";
            return Err(work.error(ErrorKind::Unsupported, message));
        };
        let readable = !name.is_empty() && name.len() <= MOST && !name.chars().any(char::is_control);
        if !readable || name.starts_with('-') {
            return Err(work.error(ErrorKind::InvalidInput, format!("{name:?} is no name of a place")));
        }
        let (home, deployment) = (self.store.home(&backup.key), context.deployment.clone());
        let (own, place) = (backup.clone(), PathBuf::from(name));
        let begun = self.holding(work, locked, move |this, work, _| {
            this.check_whole(work, &own, &home)?;
            let restore = Restore { work: work.clone(), backup: own, home, deployment, place, live: false };
            restore.begin_by_name().map(|report| (restore, report))
        });
        let restore = match begun.await? {
            (_, Some(report)) => return Ok(report),
            (restore, None) => restore,
        };
        self.restore_to(work, backup, name).await?;
        self.holding(work, locked, move |_, _, _| restore.end_by_name()).await
    }

    async fn restore_to(&self, work: &Work, backup: &Backup, place: &str) -> Result<()> {
        let archive = self.store.archive(&backup.key);
        let values = Values { archive: &archive, place: Some(place), key: &backup.key };
        self.programs(work).run(Step::Restore, &values, None).await?;
        if self.settings.check.is_some() {
            self.programs(work).run(Step::Check, &values, None).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl BackupProvider for CommandBackup {
    async fn preflight(&self, context: &CallContext) -> Result<Preflight> {
        let work = Work::new(context, format!("look whether {} can be backed up", self.store.source()));
        let mut found = self.programs(&work).missing();
        found.extend(self.programs(&work).unresolved().await);
        self.blocking(&work, move |this, work| {
            let estimated = match this.estimate(work) {
                Ok(estimated) => estimated,
                Err(error) if error.kind == ErrorKind::TimedOut => return Err(error),
                Err(error) => {
                    found.push(Problem::new("store", error.message));
                    None
                }
            };
            let store = this.store.directory();
            found.extend(problems("store", store, estimated.unwrap_or(0)));
            if let Some(live) = &this.settings.live {
                let parent = live.parent().unwrap_or(live);
                found.extend(problems("live", parent, estimated.unwrap_or(0)));
            }
            let there = store.ancestors().find(|path| path.exists());
            Ok(Preflight {
                problems: found,
                source: Some(this.store.source().clone()),
                estimated_bytes: estimated,
                free_bytes: there.and_then(|path| super::disk::free_bytes(path).ok()),
            })
        })
        .await
    }

    async fn create(&self, context: &CallContext, request: &BackupRequest) -> Result<Backup> {
        let work = Work::new(context, format!("back up {} as {}", self.store.source(), request.key));
        let locked = self.lock(&work).await?;
        let key = request.key.clone();
        let making = match self
            .holding(&work, &locked, move |this, work, locked| this.begin(work, locked, &key))
            .await?
        {
            Ok(backup) => return Ok(backup),
            Err(making) => making,
        };
        let prints = self.settings.create.as_ref().is_some_and(|line| line.output_is_archive);
        let output = if prints { Some(making.create(&work)?) } else { None };
        let values = Values { archive: &making.archive, place: None, key: &request.key };
        self.programs(&work).run(Step::Create, &values, output).await?;
        let request = request.clone();
        self.holding(&work, &locked, move |this, work, _| this.finish(work, making, &request)).await
    }

    async fn verify(&self, context: &CallContext, backup: &Backup, level: VerifyLevel) -> Result<Backup> {
        let work = Work::new(context, format!("verify backup {}", backup.key));
        self.can(&work, level)?;
        let locked = self.lock(&work).await?;
        let own = backup.clone();
        let manifest = self.blocking(&work, move |this, work| this.store.the_same(work, &own)).await?;
        let outcome = self.look_at(&work, &locked, backup, level).await;
        let found = match &outcome {
            Ok(()) => Some(level),
            Err(error) if is_damage(error) => None,
            Err(_) => return outcome.map(|()| manifest.backup),
        };
        let recorded =
            self.blocking(&work, move |this, work| this.store.record(work, manifest, found)).await?;
        outcome.map(|()| recorded)
    }

    async fn restore(
        &self,
        context: &CallContext,
        backup: &Backup,
        to: &RestoreTo,
        confirmation: &Confirmation,
    ) -> Result<RestoreReport> {
        let work = Work::new(context, format!("restore backup {}", backup.key));
        confirm(&work, backup, confirmation)?;
        if self.settings.restore.is_none() {
            return Err(work.error(ErrorKind::Unsupported, "no program restores an archive"));
        }
        let locked = self.lock(&work).await?;
        let own = backup.clone();
        self.blocking(&work, move |this, work| this.store.the_same(work, &own)).await?;
        if self.settings.places_are_names {
            return self.restore_by_name(&work, &locked, context, backup, to).await;
        }
        let live = self.settings.live.clone();
        let (home, to_place) = (self.store.home(&backup.key), to.clone());
        let (own, deployment) = (backup.clone(), context.deployment.clone());
        let begun = self.holding(&work, &locked, move |this, work, locked| {
            let place = this.place(work, live.as_deref(), &to_place)?;
            let live = to_place == RestoreTo::Live;
            let restore = Restore { work: work.clone(), backup: own, home, deployment, place, live };
            let making = match restore.begin()? {
                Begun::Over(report) => return Ok(Err(report)),
                Begun::Make(making) => Passing::new(locked, making),
            };
            this.check_whole(work, &restore.backup, &making.path)?;
            Ok(Ok((restore, making)))
        });
        let (restore, making) = match begun.await? {
            Ok(begun) => begun,
            Err(report) => return Ok(report),
        };
        self.restore_to(&work, backup, &making.path.to_string_lossy()).await?;
        self.holding(&work, &locked, move |_, work, _| {
            let making = making;
            sync_tree(&making.path).doing(work, "sync", &making.path)?;
            // The work that began it is over.
            Restore { work: work.clone(), ..restore }.end()
        })
        .await
    }

    async fn list(&self, context: &CallContext) -> Result<Vec<Backup>> {
        let work = Work::new(context, format!("list the backups of {}", self.store.source()));
        self.blocking(&work, |this, work| this.store.list(work)).await
    }

    async fn prune(&self, context: &CallContext, keep: u32, referenced: &[BackupKey]) -> Result<Vec<Backup>> {
        let work = Work::new(context, format!("remove old backups of {}", self.store.source()));
        let referenced = referenced.to_vec();
        self.blocking(&work, move |this, work| this.store.prune(work, keep, &referenced)).await
    }
}
