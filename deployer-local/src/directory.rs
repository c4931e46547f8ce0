//! The helper's directory and what is where in it.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use deployer_core::error::ErrorKind;
use rustix::fs::FlockOperation;

use crate::{identity::ContentHash, protocol::Refusal};

/// The longest path of a socket that Linux takes, without the final zero.
const SOCKET_PATH_LIMIT: usize = 107;

/// The helper's directory and what is where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes it if it is not there, and makes sure that it is ours alone.
    pub(crate) fn create(path: &Path) -> Result<Self, Refusal> {
        let fail = |kind, message: String| Err(Refusal::new(kind, message));
        match fs::DirBuilder::new().mode(0o700).recursive(true).create(path) {
            Ok(()) => {}
            Err(error) => {
                let kind = match error.kind() {
                    io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                    _ => ErrorKind::InvalidInput,
                };
                return fail(kind, format!("directory {} cannot be made: {error}", path.display()));
            }
        }
        let path = fs::canonicalize(path)
            .map_err(|error| Refusal::new(ErrorKind::InvalidInput, format!("{}: {error}", path.display())))?;
        let metadata = fs::metadata(&path)
            .map_err(|error| Refusal::new(ErrorKind::InvalidInput, format!("{}: {error}", path.display())))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            let message = format!(
                "directory {} is open to others (owner {}, mode {:03o}); make it yours with mode 700, or name one \
                 that is not there yet",
                path.display(),
                metadata.uid(),
                metadata.mode() & 0o777
            );
            return fail(ErrorKind::PermissionDenied, message);
        }
        let directory = Self(path);
        let length = directory.socket().as_os_str().len();
        if length > SOCKET_PATH_LIMIT {
            let message = format!(
                "socket path {} has {length} bytes, Linux takes {SOCKET_PATH_LIMIT}; choose a shorter directory",
                directory.socket().display()
            );
            return fail(ErrorKind::InvalidInput, message);
        }
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Whether a helper lives. A helper that starts while this looks takes itself for the second one; whoever
    /// started it tries again.
    pub(crate) fn is_locked(&self) -> bool {
        fs::File::open(self.lock()).is_ok_and(|lock| {
            rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared)
                == Err(rustix::io::Errno::WOULDBLOCK)
        })
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("helper.log")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub(crate) fn pinned(&self) -> PathBuf {
        self.0.join("pinned")
    }

    pub(crate) fn executable(&self, content: &ContentHash) -> PathBuf {
        self.pinned().join(content.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_open_to_others_or_too_long_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let open = parent.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Directory::create(&open).unwrap_err().kind, ErrorKind::PermissionDenied);
        let long = parent.path().join("x".repeat(120));
        let refusal = Directory::create(&long).unwrap_err();
        assert!(
            refusal.message.contains("107") && refusal.message.contains("shorter"),
            "{}",
            refusal.message
        );
        let made = Directory::create(&parent.path().join("a/b")).unwrap();
        assert_eq!(fs::metadata(made.path()).unwrap().mode() & 0o777, 0o700);
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(Directory::create(&file).unwrap_err().kind, ErrorKind::InvalidInput);
    }
}
