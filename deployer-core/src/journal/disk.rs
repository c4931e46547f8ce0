//! One journal as a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    file::{failed, make_directory},
    storage::Storage,
};
use crate::{model::Epoch, ports::JournalError};

type Result<T> = std::result::Result<T, JournalError>;

/// The file of one journal.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    file: File,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(path);
        Ok(Self { path: path.to_owned(), file: file.map_err(failed("opening the journal", path))? })
    }

    pub(super) fn create(path: &Path) -> Result<Self> {
        let directory = path.parent().unwrap_or(path);
        make_directory(directory)?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed("making the journal", path))?;
        for directory in directory.ancestors().take(2) {
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(failed("syncing the directory of the journal", directory))?;
        }
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Storage for Disk {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // One call: a second one could tear the record in a way that looks whole.
        let written = self.file.write(bytes)?;
        if written != bytes.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the disk took a part of the record only"));
        }
        self.file.sync_data()
    }

    fn replace(&mut self, bytes: &[u8], epoch: Epoch) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(&self.path);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let beside = |epoch: &str| directory.join(format!(".{name}.{epoch}"));
        let own = beside(&epoch.to_string());
        let mut file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&own)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // Who was stopped before this step of an earlier take-over must not make it any more.
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let other =
                path.file_name().unwrap_or_default().to_string_lossy().starts_with(&format!(".{name}."));
            if other && path != own {
                fs::remove_file(path)?;
            }
        }
        fs::rename(&own, &self.path)?;
        File::open(directory)?.sync_all()?;
        self.file = file;
        Ok(())
    }

    fn follow(&mut self) -> io::Result<bool> {
        let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        if identity(&fs::metadata(&self.path)?) == identity(&self.file.metadata()?) {
            return Ok(false);
        }
        self.file = OpenOptions::new().read(true).append(true).open(&self.path)?;
        Ok(true)
    }
}
