//! Looking at files and directories on disk, without following a symbolic link.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::{
    entry::{Entry, Kind, MOST_ENTRIES, Modified, shown},
    work::{CHUNK, Doing as _, Work},
};
use crate::{error::ErrorKind, ports::Result};

/// More than a tick of the clock that file systems take their times from: 10 ms where it is slowest.
const TICK: Duration = Duration::from_millis(20);

/// How many of the entries that cannot be backed up are named.
const MOST_NAMED: usize = 5;

/// An entry as it was seen, without its content. Two looks that agree saw no change in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The hash of a file is not known yet: all zero.
    pub(super) entry: Entry,
    inode: (u64, u64),
    changed: (i64, i64),
}

/// All that is at or below this path, parents first, in the order of their names.
pub(super) fn scan(work: &Work, root: &Path) -> Result<Vec<Seen>> {
    let mut found = Vec::new();
    let mut special = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        work.check()?;
        let path = join(root, &below);
        let metadata = path.symlink_metadata().doing(work, "look at", &path)?;
        let Some(seen) = seen(work, &path, below, &metadata)? else {
            special.push(format!("{:?} is a {}", path.display().to_string(), special_kind(&metadata)));
            continue;
        };
        if seen.entry.kind == Kind::Directory {
            for child in std::fs::read_dir(&path).doing(work, "list", &path)? {
                let child = child.doing(work, "list", &path)?;
                waiting.push(seen.entry.path.join(child.file_name()));
            }
        }
        found.push(seen);
        if found.len() as u64 + waiting.len() as u64 > MOST_ENTRIES {
            let message =
                format!("{} holds more than {MOST_ENTRIES} entries: back up parts of it", root.display());
            return Err(work.error(ErrorKind::Unsupported, message));
        }
    }
    if !special.is_empty() {
        let more = special.len().saturating_sub(MOST_NAMED);
        special.truncate(MOST_NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let message =
            format!("{}{more}: only files, directories and links can be backed up", special.join(", "));
        return Err(work.error(ErrorKind::Unsupported, message));
    }
    found.sort_by(|one, other| one.entry.path.cmp(&other.entry.path));
    Ok(found)
}

/// All that is at or below this path, with the content of files read.
pub(super) fn read(work: &Work, root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for seen in scan(work, root)? {
        let mut entry = seen.entry;
        if let Kind::File { size, hash } = &mut entry.kind {
            let path = join(root, &entry.path);
            let file = open(&path).doing(work, "open", &path)?;
            let mut reader = Hashing::new(work, file);
            *size = io::copy(&mut reader, &mut io::sink()).doing(work, "read", &path)?;
            *hash = reader.finish();
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Waits until a change would show: one that comes so soon after the last that the clock of the disk has not moved on
/// has the same time.
pub(super) fn settle(seen: &[Seen]) {
    let newest = seen.iter().map(|seen| seen.changed).max().unwrap_or_default();
    let nanos = u32::try_from(newest.1).unwrap_or(0);
    let changed = SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(newest.0).unwrap_or(0), nanos);
    let age = SystemTime::now().duration_since(changed).unwrap_or_default();
    std::thread::sleep(TICK.saturating_sub(age));
}

/// What changed between two looks.
pub(super) fn change(before: &[Seen], after: &[Seen]) -> Option<String> {
    let differs = before.iter().zip(after).find(|(before, after)| before != after);
    match differs {
        Some((before, _)) => Some(shown(&before.entry.path)),
        None if before.len() == after.len() => None,
        None => {
            let longer = if before.len() > after.len() { before } else { after };
            longer.get(before.len().min(after.len())).map(|seen| shown(&seen.entry.path))
        }
    }
}

/// Opens a file for reading, never through a symbolic link, and without waiting for the writer of a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // The flags of a system are small positive numbers.
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// A path below a root; the root itself for an empty one.
pub(super) fn join(root: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) }
}

fn seen(work: &Work, path: &Path, below: PathBuf, metadata: &Metadata) -> Result<Option<Seen>> {
    let kind = if metadata.is_dir() {
        Kind::Directory
    } else if metadata.is_file() {
        Kind::File { size: metadata.len(), hash: [0; 32] }
    } else if metadata.is_symlink() {
        Kind::Link { target: std::fs::read_link(path).doing(work, "read", path)? }
    } else {
        return Ok(None);
    };
    let entry = Entry {
        path: below,
        mode: if metadata.is_symlink() { 0 } else { metadata.mode() & 0o7777 },
        kind,
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified: Modified {
            seconds: metadata.mtime(),
            nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        },
    };
    let inode = (metadata.dev(), metadata.ino());
    Ok(Some(Seen { entry, inode, changed: (metadata.ctime(), metadata.ctime_nsec()) }))
}

fn special_kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_socket() {
        "socket"
    } else if kind.is_fifo() {
        "named pipe"
    } else {
        "device"
    }
}

/// Reads, hashes what it reads, and stops when the work is to stop.
#[derive(Debug)]
pub(super) struct Hashing<'a, R> {
    work: &'a Work,
    inner: R,
    hasher: Sha256,
}

impl<'a, R: Read> Hashing<'a, R> {
    pub(super) fn new(work: &'a Work, inner: R) -> Self {
        Self { work, inner, hasher: Sha256::new() }
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.into_parts().1
    }

    pub(super) fn into_parts(self) -> (R, [u8; 32]) {
        (self.inner, self.hasher.finalize().into())
    }
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.work.check().map_err(io::Error::other)?;
        let most = buffer.len().min(CHUNK);
        let read = self.inner.read(&mut buffer[..most])?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
