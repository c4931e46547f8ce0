//! A directory of backups: `<directory>/<key>/` with an archive and its manifest.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    disk::{make_directory, remove, rename_to_free, sync_directory},
    manifest::Manifest,
    pack::Packed,
    restore::has_unfinished,
    retention::to_remove,
    scan::{Hashing, open},
    work::{Doing as _, Work},
};
use crate::{
    error::ErrorKind,
    journal::hex,
    model::{BackupKey, Timestamp},
    ports::{Backup, BackupRequest, BackupSource, Clock as _, Result, SystemClock, VerifyLevel},
};

/// How often somebody who waits for the lock looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What is made and not complete, is being removed, or is a restore only to look at. A key cannot begin like this.
const MAKING: &str = ".making-";
const REMOVING: &str = ".removing-";
const CHECKING: &str = ".checking-";

/// A directory of backups, and whose they are.
#[derive(Debug, Clone)]
pub(super) struct Store {
    directory: PathBuf,
    source: BackupSource,
    archive: &'static str,
    clock: SystemClock,
}

/// The right to change a store, until the last of its clones is dropped. All that is half-made has one, so that nobody
/// else begins before it is cleared away. The kernel takes it back at the latest when the process dies.
#[derive(Debug, Clone)]
pub(super) struct Locked(#[expect(dead_code, reason = "it is there to be dropped")] Arc<File>);

impl Store {
    pub(super) fn new(directory: PathBuf, source: BackupSource, archive: &'static str) -> Self {
        Self { directory, source, archive, clock: SystemClock::new() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn source(&self) -> &BackupSource {
        &self.source
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The directory of a backup.
    pub(super) fn home(&self, key: &BackupKey) -> PathBuf {
        self.directory.join(key.as_str())
    }

    /// The archive of a backup.
    pub(super) fn archive(&self, key: &BackupKey) -> PathBuf {
        self.home(key).join(self.archive)
    }

    /// Waits until nobody else changes the store, and clears away what the dead left half-made.
    pub(super) fn lock(&self, work: &Work) -> Result<Locked> {
        make_directory(&self.directory).doing(work, "make", &self.directory)?;
        let path = self.directory.join(".lock");
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.doing(work, "open", &path)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_LOOKS),
                Err(TryLockError::Error(error)) => return Err(work.failed("lock", &path, error)),
            }
            work.check()?;
        }
        for child in std::fs::read_dir(&self.directory).doing(work, "list", &self.directory)? {
            let child = child.doing(work, "list", &self.directory)?;
            let name = child.file_name();
            let left = |prefix: &str| name.to_str().is_some_and(|name| name.starts_with(prefix));
            if [MAKING, REMOVING, CHECKING].into_iter().any(left) {
                remove(&child.path()).doing(work, "remove", &child.path())?;
            }
        }
        Ok(Locked(Arc::new(file)))
    }

    /// The manifest of this key, if it has a backup. One of another source is an error.
    pub(super) fn find(&self, work: &Work, key: &BackupKey) -> Result<Option<Manifest>> {
        let home = self.home(key);
        let Some(manifest) = Manifest::read(work, &home)? else {
            if home.symlink_metadata().is_ok() {
                let message = format!("{} is there and is no backup: move it away", home.display());
                return Err(work.error(ErrorKind::AlreadyExists, message));
            }
            return Ok(None);
        };
        if manifest.backup.source != self.source {
            let message = format!(
                "key {key} is that of a backup of {} and this is {}: use another key",
                manifest.backup.source, self.source
            );
            return Err(work.error(ErrorKind::AlreadyExists, message));
        }
        Ok(Some(manifest))
    }

    /// The manifest of a backup that somebody has seen before: it must still be the same one.
    pub(super) fn the_same(&self, work: &Work, backup: &Backup) -> Result<Manifest> {
        if backup.source != self.source {
            let message = format!("it is a backup of {} and this is {}", backup.source, self.source);
            return Err(work.error(ErrorKind::InvalidInput, message));
        }
        let Some(manifest) = self.find(work, &backup.key)? else {
            let message = format!("there is no backup {} in {}", backup.key, self.directory.display());
            return Err(work.error(ErrorKind::NotFound, message));
        };
        let now = Backup { verified: backup.verified, ..manifest.backup.clone() };
        if now != *backup {
            let message =
                format!("the backup in {} is another than before", self.home(&backup.key).display());
            return Err(work.error(ErrorKind::Conflict, message));
        }
        Ok(manifest)
    }

    /// A place for a new backup. What is in it goes when it is dropped, unless it was finished.
    pub(super) fn begin(&self, work: &Work, locked: &Locked, key: &BackupKey) -> Result<Making> {
        work.step()?;
        let directory = self.directory.join(format!("{MAKING}{key}"));
        DirBuilder::new().mode(0o700).create(&directory).doing(work, "make", &directory)?;
        let archive = directory.join(self.archive);
        Ok(Making { directory, archive, as_of: self.now(), _locked: locked.clone() })
    }

    /// Makes what is in the place a backup: all at once, and durably.
    pub(super) fn finish(
        &self,
        work: &Work,
        making: Making,
        request: &BackupRequest,
        packed: &Packed,
        manifest: impl FnOnce(Backup) -> Manifest,
    ) -> Result<Backup> {
        work.step()?;
        let backup = Backup {
            key: request.key.clone(),
            reason: request.reason.clone(),
            as_of: making.as_of,
            created_at: self.now(),
            bytes: packed.bytes,
            checksum: packed.checksum.clone(),
            source: self.source.clone(),
            details: std::collections::BTreeMap::default(),
            verified: None,
        };
        manifest(backup.clone()).write(work, &making.directory)?;
        work.step()?;
        let home = self.home(&request.key);
        rename_to_free(&making.directory, &home).doing(work, "make", &home)?;
        work.step()?;
        sync_directory(&self.directory).doing(work, "sync", &self.directory)?;
        work.step()?;
        Ok(backup)
    }

    /// A path for a restore that is only looked at.
    pub(super) fn checking(&self, locked: &Locked, key: &BackupKey) -> Passing {
        Passing::new(locked, self.directory.join(format!("{CHECKING}{key}")))
    }

    /// Whether the archive has the size of its manifest.
    pub(super) fn check_size(&self, work: &Work, backup: &Backup) -> Result<()> {
        let path = self.archive(&backup.key);
        let metadata = path.symlink_metadata().doing(work, "look at", &path)?;
        if metadata.is_file() && metadata.len() == backup.bytes {
            return Ok(());
        }
        let message = format!("{} has {} bytes and not {}", path.display(), metadata.len(), backup.bytes);
        Err(work.error(ErrorKind::InvalidInput, message))
    }

    /// Whether every byte of the archive is as it was.
    pub(super) fn check_sum(&self, work: &Work, backup: &Backup) -> Result<()> {
        let path = self.archive(&backup.key);
        let found = checksum(work, &path)?.checksum;
        if found == backup.checksum {
            return Ok(());
        }
        let message =
            format!("{} is damaged: its checksum is {found} and not {}", path.display(), backup.checksum);
        Err(work.error(ErrorKind::InvalidInput, message))
    }

    /// Writes down how far a backup was verified, or that it is damaged.
    pub(super) fn record(
        &self,
        work: &Work,
        mut manifest: Manifest,
        level: Option<VerifyLevel>,
    ) -> Result<Backup> {
        let verified = level.map(|level| manifest.backup.verified.map_or(level, |before| before.max(level)));
        if manifest.backup.verified != verified {
            manifest.backup.verified = verified;
            work.step()?;
            manifest.write(work, &self.home(&manifest.backup.key))?;
        }
        Ok(manifest.backup)
    }

    /// All backups of this source, oldest first.
    pub(super) fn list(&self, work: &Work) -> Result<Vec<Backup>> {
        let children = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.doing(work, "list", &self.directory)?,
        };
        let mut backups = Vec::new();
        for child in children {
            work.check()?;
            let child = child.doing(work, "list", &self.directory)?;
            let is_key = child.file_name().to_str().is_some_and(|name| BackupKey::new(name).is_ok());
            if is_key && child.file_type().doing(work, "look at", &child.path())?.is_dir() {
                backups.extend(Manifest::read(work, &child.path())?.map(|manifest| manifest.backup));
            }
        }
        backups.retain(|backup| backup.source == self.source);
        backups.sort_by(|one, other| (one.created_at, &one.key).cmp(&(other.created_at, &other.key)));
        Ok(backups)
    }

    /// Removes what is neither among the newest nor protected.
    pub(super) fn prune(&self, work: &Work, keep: u32, referenced: &[BackupKey]) -> Result<Vec<Backup>> {
        let _locked = self.lock(work)?;
        let backups = self.list(work)?;
        let mut referenced = referenced.to_vec();
        for backup in &backups {
            if has_unfinished(work, &self.home(&backup.key))? {
                referenced.push(backup.key.clone());
            }
        }
        let removed = to_remove(&backups, keep, &referenced);
        for backup in &removed {
            work.step()?;
            let away = self.directory.join(format!("{REMOVING}{}", backup.key));
            let home = self.home(&backup.key);
            rename_to_free(&home, &away).doing(work, "remove", &home)?;
            work.step()?;
            sync_directory(&self.directory).doing(work, "sync", &self.directory)?;
            remove(&away).doing(work, "remove", &away)?;
        }
        Ok(removed)
    }
}

/// A backup that is not complete yet.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) directory: PathBuf,
    pub(super) archive: PathBuf,
    as_of: Timestamp,
    _locked: Locked,
}

impl Making {
    /// Begins again: what was written before this moment will be in it.
    pub(super) fn restart(&mut self, now: Timestamp) {
        self.as_of = now;
    }

    /// A new file for the archive.
    pub(super) fn create(&self, work: &Work) -> Result<File> {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.archive);
        created.doing(work, "make", &self.archive)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // What cannot be removed now is removed with the next lock. After the end there is nothing of this name.
        let _left = remove(&self.directory);
    }
}

/// Restored data that is not in its place. What still has this name is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) path: PathBuf,
    _locked: Locked,
}

impl Passing {
    pub(super) fn new(locked: &Locked, path: PathBuf) -> Self {
        Self { path, _locked: locked.clone() }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // As above.
        let _left = remove(&self.path);
    }
}

/// Reads every byte of a file.
pub(super) fn checksum(work: &Work, path: &Path) -> Result<Packed> {
    let file = open(path).doing(work, "open", path)?;
    let mut reader = Hashing::new(work, file);
    let bytes = io::copy(&mut reader, &mut io::sink()).doing(work, "read", path)?;
    Ok(Packed { entries: Vec::new(), bytes, checksum: format!("sha256:{}", hex(&reader.finish())) })
}
