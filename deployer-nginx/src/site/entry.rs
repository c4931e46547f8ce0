//! Files and links as they are, and as they are to be.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use deployer_core::error::BackendError;
use serde::{Deserialize, Serialize};

use crate::{durable, error};

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    Absent,
    /// A file of text.
    File(String),
    /// A link, with what stands in it.
    Link(PathBuf),
    /// A directory, a device, a file of something else.
    Other,
}

/// What is to be at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) entry: Entry,
}

impl Entry {
    pub(super) fn read(operation: &str, path: &Path) -> Result<Self, BackendError> {
        let failed = |failed| error::file(operation, path, failed);
        let metadata = match fs::symlink_metadata(path) {
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(Self::Absent),
            result => result.map_err(failed)?,
        };
        if metadata.is_symlink() {
            return fs::read_link(path).map(Self::Link).map_err(failed);
        }
        if !metadata.is_file() {
            return Ok(Self::Other);
        }
        Ok(String::from_utf8(fs::read(path).map_err(failed)?).map_or(Self::Other, Self::File))
    }
}

impl Placed {
    /// What is there now.
    pub(super) fn now(operation: &str, path: &Path) -> Result<Self, BackendError> {
        Ok(Self { path: path.to_owned(), entry: Entry::read(operation, path)? })
    }

    /// Makes it so, in one step. What is so already is not touched.
    pub(super) fn place(&self, operation: &str) -> Result<(), BackendError> {
        let path = &self.path;
        if Entry::read(operation, path)? == self.entry {
            return Ok(());
        }
        match &self.entry {
            Entry::File(text) => durable::replace(operation, path, text.as_bytes()),
            Entry::Link(to) => link(to, path).map_err(|failed| error::file(operation, path, failed)),
            Entry::Absent => fs::remove_file(path)
                .and_then(|()| durable::sync_directory_of(path))
                .map_err(|failed| error::file(operation, path, failed)),
            Entry::Other => Ok(()),
        }
    }
}

fn link(to: &Path, path: &Path) -> io::Result<()> {
    let temporary = durable::beside(path);
    match fs::remove_file(&temporary) {
        Err(failed) if failed.kind() != io::ErrorKind::NotFound => return Err(failed),
        _ => {}
    }
    symlink(to, &temporary)?;
    fs::rename(&temporary, path)?;
    durable::sync_directory_of(path)
}
