//! What is written beside the archive.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    disk::replace_file,
    entry::Contents,
    work::{Doing as _, Work},
};
use crate::{
    error::ErrorKind,
    ports::{Backup, Result},
};

/// The format that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// Its name.
const FILE: &str = "manifest.json";

/// What is written beside the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    pub(super) backup: Backup,
    /// What is in the archive, if it is one of ours.
    pub(super) contents: Option<Contents>,
}

impl Manifest {
    pub(super) fn new(backup: Backup, contents: Option<Contents>) -> Self {
        Self { format: FORMAT, backup, contents }
    }

    /// Writes it into the directory of its backup.
    pub(super) fn write(&self, work: &Work, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| {
            work.error(ErrorKind::Unexpected, "the manifest cannot be written as JSON").with_source(error)
        })?;
        replace_file(&path, &bytes).doing(work, "write", &path)
    }

    /// Reads the one in this directory; nothing if there is none.
    pub(super) fn read(work: &Work, directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(FILE);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.doing(work, "read", &path)?,
        };
        let wrong = |why: &str| {
            let message = format!("{} {why}: move its directory away", path.display());
            work.error(ErrorKind::InvalidInput, message)
        };
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| wrong("is no manifest of a backup").with_source(error))?;
        if manifest.format != FORMAT {
            return Err(wrong(&format!("has format {} and not {FORMAT}", manifest.format)));
        }
        if directory.file_name().is_none_or(|name| name != manifest.backup.key.as_str()) {
            return Err(wrong(&format!("is of backup {}", manifest.backup.key)));
        }
        Ok(Some(manifest))
    }
}
