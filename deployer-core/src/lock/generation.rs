//! The files of one workload's lock: `lock`, and `lock.<n>` once n owners were replaced that still held theirs.
//!
//! The newest file is the lock. A file becomes the newest by one atomic link, complete with its record and already
//! held by whoever made it, so that of several who replace an owner one wins. Files are never renamed or deleted, so
//! an owner that was replaced keeps a lock that nobody asks for any more.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::record::Record;
use crate::model::Epoch;

const NAME: &str = "lock";

/// How many successors this process has made.
static MADE: AtomicU64 = AtomicU64::new(0);

/// The number of the newest file; 0 if there is none yet.
pub(super) fn newest(directory: &Path) -> io::Result<u64> {
    Ok(numbers(directory)?.into_iter().max().unwrap_or(0))
}

fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut numbers = vec![0];
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix("lock.")?.parse::<u64>().ok()));
    }
    Ok(numbers)
}

/// The file of this number.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    match number {
        0 => directory.join(NAME),
        number => directory.join(format!("{NAME}.{number}")),
    }
}

/// What the newest file says; nothing if there is none, or nothing whole in it.
pub(super) fn record(directory: &Path) -> io::Result<Option<Record>> {
    match fs::read(path(directory, newest(directory)?)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(Record::newest(&bytes?)),
    }
}

/// The largest epoch that any of the files says: of owners that were replaced too.
pub(super) fn last_epoch(directory: &Path) -> io::Result<Epoch> {
    last_epoch_without(directory, None)
}

/// The largest epoch that any other file says.
pub(super) fn last_epoch_without(directory: &Path, ours: Option<u64>) -> io::Result<Epoch> {
    let mut last = Epoch::default();
    for number in numbers(directory)?.into_iter().filter(|number| Some(*number) != ours) {
        let bytes = match fs::read(path(directory, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
        last = last.max(Record::newest(&bytes).map(|record| record.epoch).unwrap_or_default());
    }
    Ok(last)
}

/// A file that nobody else knows yet, held by this process.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) file: File,
    /// The number that it is to have.
    pub(super) number: u64,
    hidden: PathBuf,
}

impl Successor {
    /// Makes a file that is to replace the newest one.
    pub(super) fn make(directory: &Path, replaced: u64) -> io::Result<Self> {
        let number = replaced.checked_add(1).ok_or_else(|| io::Error::other("its number is the last one"))?;
        // Two owners of one process have different names too.
        let count = MADE.fetch_add(1, Ordering::Relaxed);
        let hidden = directory.join(format!(".{NAME}-{}-{count}", std::process::id()));
        match fs::remove_file(&hidden) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&hidden)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })?;
        Ok(Self { file, number, hidden })
    }

    /// Makes it the newest one, unless somebody else was faster.
    ///
    /// # Errors
    /// `AlreadyExists` if somebody was.
    pub(super) fn publish(&self, directory: &Path) -> io::Result<()> {
        fs::hard_link(&self.hidden, path(directory, self.number))?;
        File::open(directory)?.sync_all()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        // What is left of it is in nobody's way.
        let _ = fs::remove_file(&self.hidden);
    }
}
