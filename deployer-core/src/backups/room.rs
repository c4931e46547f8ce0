//! Whether there is room, and whether it may be used.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Component, Path},
};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{
    disk::free_bytes,
    work::{Doing as _, Work},
};
use crate::{
    error::{ErrorKind, Problem},
    ports::Result,
};

/// What has to be free for this many bytes: a fifth more, for what grows meanwhile and for what a file system needs
/// itself.
pub(super) fn needed(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 5)
}

/// An error if there is no room for this many bytes.
pub(super) fn check_room(work: &Work, at: &Path, bytes: u64) -> Result<()> {
    let Some(at) = existing(at) else { return Ok(()) };
    let free = free_bytes(at).doing(work, "look at", at)?;
    match too_little(at, free, bytes) {
        None => Ok(()),
        Some(message) => {
            let mut error = work.error(ErrorKind::Unavailable, message);
            error.retry = crate::error::Retry::Never;
            Err(error)
        }
    }
}

/// All that keeps this many bytes from being written below this path, which need not be there yet.
pub(super) fn problems(what: &str, at: &Path, bytes: u64) -> Vec<Problem> {
    let Some(there) = existing(at) else {
        return vec![Problem::new(what, format!("there is no {}", at.display()))];
    };
    let mut problems = Vec::new();
    if !there.is_dir() {
        problems.push(Problem::new(what, format!("{} is no directory", there.display())));
    } else if !may(there, Access::WRITE_OK | Access::EXEC_OK) {
        problems.push(Problem::new(what, format!("this user may not write to {}", there.display())));
    }
    let room = free_bytes(there).map_err(|error| format!("could not look at {}: {error}", there.display()));
    let lacking = room.map_or_else(Some, |free| too_little(there, free, bytes));
    problems.extend(lacking.map(|message| Problem::new(what, message)));
    problems
}

/// Whether this user may do this with what the path names.
pub(super) fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

/// Whether the path is where a file system begins: such a name cannot be exchanged.
pub(super) fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| path.symlink_metadata().map(|metadata| metadata.dev()).ok();
    path.parent().is_none_or(|parent| device(parent) != device(path))
}

/// What is wrong with a path as a setting.
pub(super) fn check_path(at: &str, path: &Path) -> Option<Problem> {
    let tidy = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let named = path.file_name().is_some();
    let readable = !path.as_os_str().as_encoded_bytes().contains(&0);
    (!path.is_absolute() || !tidy || !named || !readable).then(|| {
        let message = format!("{:?} is no absolute path without \"..\"", path.display().to_string());
        Problem::new(at, message)
    })
}

/// What is wrong with the name of a source.
pub(super) fn check_identity(identity: &str) -> Option<Problem> {
    const MOST: usize = 253;
    let readable = !identity.is_empty() && identity.len() <= MOST && !identity.chars().any(char::is_control);
    (!readable).then(|| {
        Problem::new(
            "source",
            format!("{identity:?} is no name: use 1 to {MOST} bytes without control characters"),
        )
    })
}

fn too_little(at: &Path, free: u64, bytes: u64) -> Option<String> {
    let needed = needed(bytes);
    (free < needed).then(|| {
        format!(
            "{} has {free} bytes free and {needed} are needed: free some, or use a larger disk",
            at.display()
        )
    })
}

/// The path itself or the nearest directory above it that is there.
fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.symlink_metadata().is_ok())
}
