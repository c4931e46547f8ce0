//! Locks between processes.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use deployer_core::error::{BackendError, ErrorKind};
use rustix::fs::FlockOperation;
use tokio::time::{Instant, sleep};

use crate::error;

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A lock that ends with this value, or with the process.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// `None` if somebody else has it.
    pub(crate) fn try_take(operation: &str, path: &Path) -> Result<Option<Self>, BackendError> {
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = open.map_err(|failed| error::file(operation, path, failed))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(failed) => Err(error::file(operation, path, failed.into())),
        }
    }

    /// Waits for it.
    pub(crate) async fn take(operation: &str, path: &Path, limit: Duration) -> Result<Self, BackendError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(lock) = Self::try_take(operation, path)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                let message =
                    format!("{} is held by somebody else for longer than {limit:?}", path.display());
                return Err(BackendError::new(ErrorKind::TimedOut, operation, message));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}
