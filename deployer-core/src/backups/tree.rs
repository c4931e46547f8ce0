//! Backups of a file or of a directory with all that is in it.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{
    entry::{Contents, Kind},
    manifest::Manifest,
    pack::{Packed, pack},
    restore::{Begun, Restore},
    room::{check_identity, check_path, check_room, is_mount_point, may, problems},
    scan::{Seen, change, join, scan, settle},
    store::{Locked, Making, Passing, Store},
    unpack::{list, unpack},
    work::{Doing as _, Work, blocking},
};
use crate::{
    error::{BackendError, ErrorKind, Problem},
    model::BackupKey,
    ports::{
        Backup, BackupRequest, BackupSource, CallContext, Confirmation, Preflight, RestoreReport, RestoreTo,
        Result, VerifyLevel,
    },
};

/// The archive in the directory of a backup.
const ARCHIVE: &str = "archive.tar";

/// How often something that changes while it is read is read again.
const ATTEMPTS: u32 = 3;

/// How many files that cannot be read are named.
const MOST_NAMED: usize = 5;

/// What is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    File,
    Directory,
}

/// Backups of a file or of a directory.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    what: What,
    path: PathBuf,
    store: Store,
}

impl Tree {
    pub(super) fn new(
        what: What,
        identity: String,
        path: PathBuf,
        store: PathBuf,
    ) -> std::result::Result<Self, Vec<Problem>> {
        let (at, kind) = match what {
            What::File => ("file", "file"),
            What::Directory => ("directory", "directory"),
        };
        let mut problems: Vec<_> =
            [check_identity(&identity), check_path(at, &path), check_path("store", &store)]
                .into_iter()
                .flatten()
                .collect();
        if store.starts_with(&path) {
            let message = format!("{} lies in what is backed up: use another directory", store.display());
            problems.push(Problem::new("store", message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let source = BackupSource { kind: kind.to_owned(), identity };
        Ok(Self { what, path, store: Store::new(store, source, ARCHIVE) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        context: &CallContext,
        operation: String,
        body: impl FnOnce(&Self, &Work) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let own = self.clone();
        blocking(&Work::new(context, operation), move |work| body(&own, work)).await
    }

    pub(super) async fn preflight(&self, context: &CallContext) -> Result<Preflight> {
        let operation = format!("look whether {} can be backed up", self.store.source());
        self.blocking(context, operation, Self::look).await
    }

    pub(super) async fn create(&self, context: &CallContext, request: &BackupRequest) -> Result<Backup> {
        let request = request.clone();
        let operation = format!("back up {} as {}", self.store.source(), request.key);
        self.blocking(context, operation, move |own, work| own.make(work, &request)).await
    }

    pub(super) async fn verify(
        &self,
        context: &CallContext,
        backup: &Backup,
        level: VerifyLevel,
    ) -> Result<Backup> {
        let backup = backup.clone();
        let operation = format!("verify backup {}", backup.key);
        self.blocking(context, operation, move |own, work| own.inspect(work, &backup, level)).await
    }

    pub(super) async fn restore(
        &self,
        context: &CallContext,
        backup: &Backup,
        to: &RestoreTo,
        confirmation: &Confirmation,
    ) -> Result<RestoreReport> {
        let operation = format!("restore backup {}", backup.key);
        let (backup, to, confirmation, context) =
            (backup.clone(), to.clone(), confirmation.clone(), context.clone());
        let own = context.clone();
        self.blocking(&own, operation, move |tree, work| {
            confirm(work, &backup, &confirmation)?;
            tree.bring_back(work, &context, &backup, &to)
        })
        .await
    }

    pub(super) async fn list(&self, context: &CallContext) -> Result<Vec<Backup>> {
        let operation = format!("list the backups of {}", self.store.source());
        self.blocking(context, operation, |own, work| own.store.list(work)).await
    }

    pub(super) async fn prune(
        &self,
        context: &CallContext,
        keep: u32,
        referenced: &[BackupKey],
    ) -> Result<Vec<Backup>> {
        let referenced = referenced.to_vec();
        let operation = format!("remove old backups of {}", self.store.source());
        self.blocking(context, operation, move |own, work| own.store.prune(work, keep, &referenced)).await
    }

    fn look(&self, work: &Work) -> Result<Preflight> {
        let mut found = Vec::new();
        let mut estimated = None;
        match self.admitted(work).and_then(|()| scan(work, &self.path)) {
            Ok(seen) => {
                found.extend(self.unreadable(&seen));
                estimated = Some(size(&seen));
            }
            Err(error) if error.kind == ErrorKind::TimedOut => return Err(error),
            Err(error) => found.push(Problem::new(self.setting(), with_causes(&error))),
        }
        if self.path.symlink_metadata().is_ok() && is_mount_point(&self.path) {
            let message = format!(
                "{} is a mount point and cannot be replaced by a restore: back up a directory below it",
                self.path.display()
            );
            found.push(Problem::new(self.setting(), message));
        }
        let bytes = estimated.unwrap_or(0);
        found.extend(problems("store", self.store.directory(), bytes));
        if let Some(parent) = self.path.parent() {
            found.extend(problems("restore", parent, bytes));
        }
        let there = self.store.directory().ancestors().find(|path| path.exists());
        Ok(Preflight {
            problems: found,
            source: Some(self.store.source().clone()),
            estimated_bytes: estimated,
            free_bytes: there.and_then(|path| super::disk::free_bytes(path).ok()),
        })
    }

    fn unreadable(&self, seen: &[Seen]) -> Option<Problem> {
        let closed: Vec<_> = seen
            .iter()
            .filter_map(|seen| {
                let path = join(&self.path, &seen.entry.path);
                let asked = match seen.entry.kind {
                    Kind::File { .. } => Access::READ_OK,
                    Kind::Directory => Access::READ_OK | Access::EXEC_OK,
                    Kind::Link { .. } => return None,
                };
                (!may(&path, asked)).then(|| format!("{:?}", path.display().to_string()))
            })
            .take(MOST_NAMED)
            .collect();
        let message = format!("this user may not read {}", closed.join(", "));
        (!closed.is_empty()).then(|| Problem::new(self.setting(), message))
    }

    fn make(&self, work: &Work, request: &BackupRequest) -> Result<Backup> {
        let locked = self.store.lock(work)?;
        if let Some(manifest) = self.store.find(work, &request.key)? {
            // Whoever made it may have died before this.
            let directory = self.store.directory();
            super::disk::sync_directory(directory).doing(work, "sync", directory)?;
            return Ok(manifest.backup);
        }
        self.admitted(work)?;
        let mut making = self.store.begin(work, &locked, &request.key)?;
        let packed = self.pack(work, &mut making)?;
        let contents = Contents::of(&packed.entries);
        self.store.finish(work, making, request, &packed, |backup| Manifest::new(backup, Some(contents)))
    }

    /// Reads everything until nothing changed meanwhile.
    fn pack(&self, work: &Work, making: &mut Making) -> Result<Packed> {
        let mut changed = String::new();
        for _ in 0..ATTEMPTS {
            super::disk::remove(&making.archive).doing(work, "remove", &making.archive)?;
            making.restart(self.store.now());
            match self.pack_once(work, making) {
                // It changed, became shorter, went away, or became something else.
                Err(error)
                    if matches!(
                        error.kind,
                        ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::InvalidInput
                    ) =>
                {
                    changed = error.message;
                }
                other => return other,
            }
        }
        let message = format!(
            "{} changed while it was read, {ATTEMPTS} times ({changed}): stop who writes there, or use a backup that \
             knows the format",
            self.path.display()
        );
        Err(work.error(ErrorKind::Conflict, message))
    }

    fn pack_once(&self, work: &Work, making: &Making) -> Result<Packed> {
        let before = scan(work, &self.path)?;
        check_room(work, &making.directory, size(&before))?;
        settle(&before);
        work.step()?;
        let packed = pack(work, &self.path, &before, &making.archive, making.create(work)?)?;
        work.step()?;
        match change(&before, &scan(work, &self.path)?) {
            None => Ok(packed),
            Some(path) => Err(work.error(ErrorKind::Conflict, format!("{path} changed"))),
        }
    }

    fn inspect(&self, work: &Work, backup: &Backup, level: VerifyLevel) -> Result<Backup> {
        let locked = self.store.lock(work)?;
        let manifest = self.store.the_same(work, backup)?;
        match self.look_at(work, &locked, &manifest, level) {
            Ok(()) => self.store.record(work, manifest, Some(level)),
            Err(error) if is_damage(&error) => {
                self.store.record(work, manifest, None)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn look_at(&self, work: &Work, locked: &Locked, manifest: &Manifest, level: VerifyLevel) -> Result<()> {
        let backup = &manifest.backup;
        self.store.check_size(work, backup)?;
        if level >= VerifyLevel::Checksum {
            self.store.check_sum(work, backup)?;
        }
        let archive = self.store.archive(&backup.key);
        match level {
            VerifyLevel::Exists | VerifyLevel::Checksum => Ok(()),
            VerifyLevel::Listed => list(work, &archive, contents(work, manifest)?).map(drop),
            VerifyLevel::Restored => {
                let contents = contents(work, manifest)?;
                check_room(work, self.store.directory(), contents.bytes)?;
                let checking = self.store.checking(locked, &backup.key);
                unpack(work, &archive, contents, &checking.path)
            }
        }
    }

    fn bring_back(
        &self,
        work: &Work,
        context: &CallContext,
        backup: &Backup,
        to: &RestoreTo,
    ) -> Result<RestoreReport> {
        let locked = self.store.lock(work)?;
        let manifest = self.store.the_same(work, backup)?;
        let restore = Restore {
            work: work.clone(),
            backup: backup.clone(),
            home: self.store.home(&backup.key),
            deployment: context.deployment.clone(),
            place: place(work, &self.path, self.store.directory(), to)?,
            live: *to == RestoreTo::Live,
        };
        let making = match restore.begin()? {
            Begun::Over(report) => return Ok(report),
            Begun::Make(making) => Passing::new(&locked, making),
        };
        self.store.check_size(work, backup)?;
        self.store.check_sum(work, backup)?;
        let contents = contents(work, &manifest)?;
        check_room(work, &making.path, contents.bytes)?;
        unpack(work, &self.store.archive(&backup.key), contents, &making.path)?;
        restore.end()
    }

    /// Whether the path is what it should be.
    fn admitted(&self, work: &Work) -> Result<()> {
        let metadata = self.path.symlink_metadata().doing(work, "look at", &self.path)?;
        let wrong = |message: String| Err(work.error(ErrorKind::InvalidInput, message));
        match self.what {
            _ if metadata.is_symlink() => {
                wrong(format!("{} is a symbolic link: name what it points to", self.path.display()))
            }
            What::File if !metadata.is_file() => wrong(format!("{} is no file", self.path.display())),
            What::Directory if !metadata.is_dir() => {
                wrong(format!("{} is no directory", self.path.display()))
            }
            _ => {
                let real = |path: &Path| path.canonicalize().ok();
                match (real(&self.path), real(self.store.directory())) {
                    (Some(path), Some(store)) if store.starts_with(&path) => {
                        let store = self.store.directory().display();
                        wrong(format!("{store} lies in what is backed up: use another directory"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn setting(&self) -> &'static str {
        match self.what {
            What::File => "file",
            What::Directory => "directory",
        }
    }
}

/// Whether the key was repeated rightly.
pub(super) fn confirm(work: &Work, backup: &Backup, confirmation: &Confirmation) -> Result<()> {
    if confirmation.key == backup.key {
        return Ok(());
    }
    let message = format!("the confirmation is for backup {} and this is {}", confirmation.key, backup.key);
    Err(work.error(ErrorKind::InvalidInput, message))
}

/// The path that a restore goes to.
pub(super) fn place(work: &Work, live: &Path, store: &Path, to: &RestoreTo) -> Result<PathBuf> {
    let wrong = |message: String| Err(work.error(ErrorKind::InvalidInput, message));
    let place = match to {
        RestoreTo::Live => {
            if live.is_symlink() {
                return wrong(format!("{} is a symbolic link: name what it points to", live.display()));
            }
            return beside_database(work, live).map(|()| live.to_owned());
        }
        RestoreTo::New(place) => PathBuf::from(&place.0),
    };
    if let Some(problem) = check_path("place", &place) {
        return wrong(problem.message);
    }
    let parent = place.parent().unwrap_or(&place);
    let real = parent.canonicalize().doing(work, "find", parent)?;
    for (taken, what) in [(live, "the live data"), (store, "the store of backups")] {
        if place.starts_with(taken) || taken.canonicalize().is_ok_and(|taken| real.starts_with(taken)) {
            return wrong(format!("{} lies in {what}: name another place", place.display()));
        }
    }
    Ok(place)
}

/// A write-ahead log or a journal belongs to the file beside it: left beside another one it would ruin it in silence.
fn beside_database(work: &Work, live: &Path) -> Result<()> {
    for suffix in ["-wal", "-journal"] {
        let mut log = live.as_os_str().to_owned();
        log.push(suffix);
        let log = PathBuf::from(log);
        if log.symlink_metadata().is_ok_and(|metadata| metadata.len() > 0) {
            let message = format!(
                "{} belongs to the data that would be replaced: stop what uses it, then let its database finish or \
                 move it away",
                log.display()
            );
            return Err(work.error(ErrorKind::Conflict, message));
        }
    }
    Ok(())
}

/// Whether an error says that the backup itself is not what it should be.
pub(super) fn is_damage(error: &BackendError) -> bool {
    matches!(error.kind, ErrorKind::InvalidInput | ErrorKind::NotFound)
}

fn contents<'a>(work: &Work, manifest: &'a Manifest) -> Result<&'a Contents> {
    manifest.contents.as_ref().ok_or_else(|| {
        work.error(ErrorKind::InvalidInput, format!("the manifest of {} lists nothing", manifest.backup.key))
    })
}

fn size(seen: &[Seen]) -> u64 {
    // Each entry costs its headers, and the end of its last block.
    let of = |seen: &Seen| match seen.entry.kind {
        Kind::File { size, .. } => size.saturating_add(2048),
        _ => 2048,
    };
    seen.iter().map(of).fold(0, u64::saturating_add)
}

fn with_causes(error: &BackendError) -> String {
    let mut text = error.message.clone();
    if let Some(source) = &error.source {
        text.push_str(": ");
        text.push_str(&crate::error::report(&**source));
    }
    text
}
