//! Taking the place of live data, in steps of which each can be the last before a crash.
//!
//! What is restored is made beside the place it is for, under a name of its own. When it is whole and durable a record
//! is written that says by which number the disk knows it, and only then names are changed. After a crash that number
//! tells the restored data from what it replaced.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    disk::{exchange, make_directory, remove, rename_to_free, replace_file, sync_parent},
    work::{Doing as _, Work},
};
use crate::{
    error::ErrorKind,
    journal::hex,
    model::DeploymentId,
    ports::{Backup, RestorePlace, RestoreReport, Result},
};

/// The directory of the records, in that of the backup.
const RECORDS: &str = "restores";

/// One restore: of which backup, for whom, and where to.
#[derive(Debug)]
pub(super) struct Restore {
    pub(super) work: Work,
    pub(super) backup: Backup,
    /// The directory of the backup.
    pub(super) home: PathBuf,
    pub(super) deployment: DeploymentId,
    /// A path, or what else the programs of the backup take for a place.
    pub(super) place: PathBuf,
    /// Whether data may be there, to be replaced.
    pub(super) live: bool,
}

/// What is known of a restore after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    checksum: String,
    place: PathBuf,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum State {
    /// A program was told to restore to a name, and how that ended is not known.
    Begun,
    /// The restored data is whole; the disk knows it by this number, and what it is to replace by that one.
    Ready { restored: Inode, replaces: Option<Inode> },
    /// It is in its place, and what was there before is kept here.
    Done { kept: Option<PathBuf> },
}

type Inode = (u64, u64);

/// What a restore needs next.
#[derive(Debug)]
pub(super) enum Begun {
    /// Nothing.
    Over(RestoreReport),
    /// The data at this path.
    Make(PathBuf),
}

/// Whether a restore of the backup in this directory was begun and not ended: then it is still needed.
pub(super) fn has_unfinished(work: &Work, home: &Path) -> Result<bool> {
    let directory = home.join(RECORDS);
    let children = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.doing(work, "list", &directory)?,
    };
    for child in children {
        let path = child.doing(work, "list", &directory)?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && matches!(read(work, &path)?, Some(Record { state: State::Ready { .. }, .. }))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Restore {
    /// Goes on from wherever it is: to its end, or to the path where the data has to be made first, where nothing is.
    pub(super) fn begin(&self) -> Result<Begun> {
        match self.record()? {
            Some(State::Done { kept }) => Ok(Begun::Over(self.report(kept))),
            Some(State::Ready { restored, replaces }) if !self.is_lost(replaces)? => {
                self.finish(restored).map(Begun::Over)
            }
            Some(State::Ready { .. } | State::Begun) | None => self.make_way().map(Begun::Make),
        }
    }

    /// The data was made, whole and durable: takes it to its end.
    pub(super) fn end(&self) -> Result<RestoreReport> {
        let work = &self.work;
        let making = self.beside("restoring");
        let Some(restored) = inode(work, &making)? else {
            return Err(work.error(ErrorKind::NotFound, format!("nothing came to {}", making.display())));
        };
        sync_parent(&making).doing(work, "sync what is beside", &making)?;
        work.step()?;
        let replaces = inode(work, &self.place)?;
        self.write(State::Ready { restored, replaces })?;
        work.step()?;
        self.finish(restored)
    }

    /// Begins a restore to a name, which only the programs of the backup can look at. Its report if it is over already.
    pub(super) fn begin_by_name(&self) -> Result<Option<RestoreReport>> {
        match self.record()? {
            Some(State::Done { kept }) => return Ok(Some(self.report(kept))),
            Some(_) => {
                let message = format!(
                    "how the restore to {} ended before is not known: remove it, and restore to another name",
                    self.place.display()
                );
                return Err(self.work.error(ErrorKind::Conflict, message));
            }
            None => self.write(State::Begun)?,
        }
        Ok(None)
    }

    /// The program that restored to a name is content.
    pub(super) fn end_by_name(&self) -> Result<RestoreReport> {
        self.write(State::Done { kept: None })?;
        Ok(self.report(None))
    }

    fn record(&self) -> Result<Option<State>> {
        let path = self.record_path();
        let Some(record) = read(&self.work, &path)? else { return Ok(None) };
        if record.checksum == self.backup.checksum && record.place == self.place {
            return Ok(Some(record.state));
        }
        let message = format!("{} is of another restore: move it away", path.display());
        Err(self.work.error(ErrorKind::Conflict, message))
    }

    /// Looks that nothing is in the way, and clears away what is half-made.
    fn make_way(&self) -> Result<PathBuf> {
        let mut taken = vec![self.beside("before-restore"), self.beside("restored")];
        if !self.live {
            taken.push(self.place.clone());
        }
        for path in taken {
            if inode(&self.work, &path)?.is_some() {
                return Err(self.taken(&path));
            }
        }
        let making = self.beside("restoring");
        remove(&making).doing(&self.work, "remove", &making)?;
        self.work.step()?;
        Ok(making)
    }

    fn finish(&self, restored: Inode) -> Result<RestoreReport> {
        self.swap(restored)?;
        let before = self.beside("before-restore");
        let kept = inode(&self.work, &before)?.map(|_| before);
        self.work.step()?;
        self.write(State::Done { kept: kept.clone() })?;
        self.work.step()?;
        Ok(self.report(kept))
    }

    /// Whether the restored data is gone and what it was to replace is still there, or nothing: then it has to be made
    /// again.
    fn is_lost(&self, replaces: Option<Inode>) -> Result<bool> {
        for name in ["restoring", "restored", "before-restore"] {
            if inode(&self.work, &self.beside(name))?.is_some() {
                return Ok(false);
            }
        }
        Ok(inode(&self.work, &self.place)?.is_none_or(|now| Some(now) == replaces))
    }

    /// Changes the names, from wherever that was left.
    fn swap(&self, restored: Inode) -> Result<()> {
        let (making, ready, before) =
            (self.beside("restoring"), self.beside("restored"), self.beside("before-restore"));
        if inode(&self.work, &making)? == Some(restored) {
            rename_to_free(&making, &ready).doing(&self.work, "rename", &making)?;
            self.work.step()?;
        }
        if inode(&self.work, &ready)? == Some(restored) {
            self.swap_in(&ready, &before)?;
            self.work.step()?;
            sync_parent(&self.place).doing(&self.work, "sync what is beside", &self.place)?;
            self.work.step()?;
        }
        // What has this name now is what was replaced.
        if inode(&self.work, &ready)?.is_some() {
            rename_to_free(&ready, &before).doing(&self.work, "rename", &ready)?;
            self.work.step()?;
        }
        sync_parent(&self.place).doing(&self.work, "sync what is beside", &self.place)
    }

    fn swap_in(&self, ready: &Path, before: &Path) -> Result<()> {
        if inode(&self.work, &self.place)?.is_none() {
            return rename_to_free(ready, &self.place).doing(&self.work, "swap in", &self.place);
        }
        if !self.live {
            return Err(self.taken(&self.place));
        }
        if exchange(ready, &self.place).doing(&self.work, "swap in", &self.place)? {
            return Ok(());
        }
        // The file system cannot exchange names: for a moment there is nothing.
        rename_to_free(&self.place, before).doing(&self.work, "rename", &self.place)?;
        self.work.step()?;
        rename_to_free(ready, &self.place).doing(&self.work, "swap in", &self.place)
    }

    /// A name beside the place, of this deployment only.
    fn beside(&self, what: &str) -> PathBuf {
        let name = self.place.file_name().unwrap_or_default().to_string_lossy();
        let deployment = &self.deployment;
        // What a person is told of shows; what is passing does not.
        let hidden = if what == "before-restore" { "" } else { "." };
        self.place.with_file_name(format!("{hidden}{name}.{what}-{deployment}"))
    }

    fn record_path(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let place = hex(&Sha256::digest(self.place.as_os_str().as_bytes()));
        self.home.join(RECORDS).join(format!("{}.{}.json", self.deployment, &place[..16]))
    }

    fn write(&self, state: State) -> Result<()> {
        let path = self.record_path();
        let record = Record { checksum: self.backup.checksum.clone(), place: self.place.clone(), state };
        let bytes = serde_json::to_vec(&record).map_err(|error| {
            self.work.error(ErrorKind::Unexpected, "the record cannot be written as JSON").with_source(error)
        })?;
        let directory = self.home.join(RECORDS);
        make_directory(&directory)
            .and_then(|()| sync_parent(&directory))
            .and_then(|()| replace_file(&path, &bytes))
            .doing(&self.work, "write", &path)
    }

    fn report(&self, kept: Option<PathBuf>) -> RestoreReport {
        let place = |path: &Path| RestorePlace(path.to_string_lossy().into_owned());
        RestoreReport {
            key: self.backup.key.clone(),
            place: place(&self.place),
            kept: kept.as_deref().map(place),
            as_of: self.backup.as_of,
        }
    }

    fn taken(&self, path: &Path) -> crate::error::BackendError {
        let message = format!("{} holds data already: move it away, or name another place", path.display());
        self.work.error(ErrorKind::AlreadyExists, message)
    }
}

fn read(work: &Work, path: &Path) -> Result<Option<Record>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.doing(work, "read", path)?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let message = format!("{} is no record of a restore: move it away", path.display());
        work.error(ErrorKind::InvalidInput, message).with_source(error)
    })
}

/// What the disk knows this path by; nothing if nothing is there.
fn inode(work: &Work, path: &Path) -> Result<Option<Inode>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(work.failed("look at", path, error)),
    }
}
