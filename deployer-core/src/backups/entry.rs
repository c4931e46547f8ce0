//! What a backup of files holds: one entry for each file, directory and symbolic link.

use std::{
    fmt,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::journal::hex;

/// The most entries in one backup of files. Their list is held in memory.
pub(super) const MOST_ENTRIES: u64 = 5_000_000;

/// A file, a directory or a symbolic link, with all that a restore brings back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it is below the root; the root itself has an empty path.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// The lower 12 bits; zero for a symbolic link, which has none of its own.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Modified,
}

/// When something was changed: seconds since 1970 UTC and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Modified {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

/// Nanoseconds.
const SECOND: u32 = 1_000_000_000;

impl fmt::Display for Modified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds < 0 && self.nanos > 0 {
            // A decimal fraction counts away from zero.
            let (whole, rest) =
                (self.seconds.saturating_add(1).unsigned_abs(), SECOND.saturating_sub(self.nanos));
            return write!(f, "-{whole}.{rest:09}");
        }
        write!(f, "{}.{:09}", self.seconds, self.nanos)
    }
}

impl Modified {
    /// Reads what `Display` writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, rest) = text.split_once('.')?;
        let nanos: u32 = (rest.len() == 9).then(|| rest.parse().ok()).flatten()?;
        let seconds: i64 = whole.parse().ok()?;
        if whole.starts_with('-') && nanos > 0 {
            return Some(Self { seconds: seconds.checked_sub(1)?, nanos: SECOND.checked_sub(nanos)? });
        }
        Some(Self { seconds, nanos })
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File { size: u64, hash: [u8; 32] },
    Link { target: PathBuf },
}

/// All entries in one figure each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    /// How many there are, the root included.
    pub(super) entries: u64,
    /// How large the files are together.
    pub(super) bytes: u64,
    /// A hash over everything that a restore brings back.
    pub(super) digest: String,
}

impl Contents {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut hasher = Sha256::new();
        let mut bytes = 0_u64;
        for entry in entries {
            if let Kind::File { size, .. } = entry.kind {
                bytes = bytes.saturating_add(size);
            }
            entry.hash_into(&mut hasher);
        }
        Self { entries: entries.len() as u64, bytes, digest: format!("sha256:{}", hex(&hasher.finalize())) }
    }
}

impl Entry {
    fn hash_into(&self, hasher: &mut Sha256) {
        let mut text = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        text(self.path.as_os_str().as_bytes());
        match &self.kind {
            Kind::Directory => text(b"directory"),
            Kind::File { size, hash } => {
                text(b"file");
                text(&size.to_be_bytes());
                text(hash);
            }
            Kind::Link { target } => {
                text(b"link");
                text(target.as_os_str().as_bytes());
            }
        }
        for number in [self.mode, self.uid, self.gid, self.modified.nanos] {
            text(&number.to_be_bytes());
        }
        text(&self.modified.seconds.to_be_bytes());
    }

    /// Its path as a person reads it.
    pub(super) fn shown(&self) -> String {
        shown(&self.path)
    }
}

/// A path below the root as a person reads it.
pub(super) fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        "its root".to_owned()
    } else {
        format!("{:?}", path.display().to_string())
    }
}

/// Where two lists first differ.
pub(super) fn difference(expected: &[Entry], found: &[Entry]) -> Option<String> {
    for (expected, found) in expected.iter().zip(found) {
        if expected.path != found.path {
            return Some(format!("{} was expected, {} was found", expected.shown(), found.shown()));
        }
        if expected != found {
            let what = match (&expected.kind, &found.kind) {
                (a, b) if a != b => "content",
                _ if expected.mode != found.mode => "rights",
                _ if (expected.uid, expected.gid) != (found.uid, found.gid) => "owner",
                _ => "time of change",
            };
            return Some(format!("the {what} of {} is another", expected.shown()));
        }
    }
    let (shorter, longer) = (expected.len().min(found.len()), expected.len().max(found.len()));
    (shorter < longer).then(|| match expected.get(shorter) {
        Some(missing) => format!("{} is missing", missing.shown()),
        None => format!("{} is too many", found[shorter].shown()),
    })
}
