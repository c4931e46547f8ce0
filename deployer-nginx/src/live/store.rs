//! The state file of a workload: what was accepted, before nginx is told.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{Epoch, Split, WorkloadId},
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::spawn_blocking,
    time::timeout,
};

use super::accepted::Accepted;
use crate::{durable, error, paths::Paths, server::FileLock, settings::NginxSettings};

/// The state file of a workload. Clones share one order of writing.
#[derive(Debug, Clone)]
pub(super) struct Store {
    workload: WorkloadId,
    paths: Paths,
    /// Held by whoever writes until it is done, also if nobody waits for that any more: what was asked for first is
    /// never written last.
    writing: Arc<Mutex<()>>,
}

/// The right to write.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: FileLock,
    _writing: OwnedMutexGuard<()>,
}

impl Store {
    pub(super) fn new(workload: WorkloadId, paths: Paths) -> Self {
        Self { workload, paths, writing: Arc::default() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.paths.state(&self.workload)
    }

    /// Waits until nobody else writes, in this process or in another one.
    pub(super) async fn turn(&self, operation: &str, limit: Duration) -> Result<Turn, BackendError> {
        let mine = timeout(limit, Arc::clone(&self.writing).lock_owned()).await.map_err(|_| {
            BackendError::new(
                ErrorKind::TimedOut,
                operation,
                format!("another call took longer than {limit:?}"),
            )
        })?;
        let lock = FileLock::take(operation, &self.paths.workload_lock(&self.workload), limit).await?;
        Ok(Turn { _lock: lock, _writing: mine })
    }

    /// What was accepted last; `None` before the first.
    pub(super) async fn read(&self, operation: &str) -> Result<Option<Accepted>, BackendError> {
        let path = self.path();
        let operation = operation.to_owned();
        blocking(move || match std::fs::read_to_string(&path) {
            Ok(text) => Accepted::parse(&text).map(Some).map_err(|why| {
                let message = format!(
                    "{}: {why}; put the old content back, or remove the file and apply the split again",
                    path.display()
                );
                BackendError::new(ErrorKind::Conflict, &operation, message)
            }),
            Err(failed) if failed.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(failed) if failed.kind() == io::ErrorKind::InvalidData => {
                let message = format!("{}: it was edited by somebody else", path.display());
                Err(BackendError::new(ErrorKind::Conflict, &operation, message))
            }
            Err(failed) => Err(error::file(&operation, &path, failed)),
        })
        .await
    }

    /// Writes what is accepted. If the call is dropped it is written nevertheless, before the next one.
    pub(super) async fn write(
        &self,
        operation: &str,
        turn: Turn,
        accepted: Accepted,
    ) -> Result<(Turn, Accepted), BackendError> {
        let (path, operation) = (self.path(), operation.to_owned());
        blocking(move || {
            durable::replace(&operation, &path, accepted.text().as_bytes())?;
            Ok((turn, accepted))
        })
        .await
    }

    /// Removes the file.
    pub(super) async fn remove(&self, operation: &str, turn: Turn) -> Result<Turn, BackendError> {
        let (path, operation) = (self.path(), operation.to_owned());
        blocking(move || match std::fs::remove_file(&path) {
            Err(failed) if failed.kind() != io::ErrorKind::NotFound => {
                Err(error::file(&operation, &path, failed))
            }
            _ => Ok(turn),
        })
        .await
    }
}

/// Refuses an owner that was followed by a newer one.
pub(super) fn fence(operation: &str, now: Option<&Accepted>, epoch: Epoch) -> Result<(), BackendError> {
    match now {
        Some(now) if epoch < now.epoch => {
            let message = format!("epoch {} is older than {}, which owns it now", epoch.0, now.epoch.0);
            Err(BackendError::new(ErrorKind::Conflict, operation, message))
        }
        _ => Ok(()),
    }
}

/// What is to be accepted after `now`: `None` if that is the same already.
pub(super) fn next(
    now: Option<&Accepted>,
    epoch: Epoch,
    split: &Split,
    settings: &NginxSettings,
) -> Option<Accepted> {
    let Some(now) = now else { return Some(Accepted::new(epoch, 1, split, settings)) };
    let wanted = Accepted::new(epoch, now.generation + 1, split, settings);
    if wanted.stamp != now.stamp {
        return Some(wanted);
    }
    (epoch > now.epoch).then(|| now.owned(epoch))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    spawn_blocking(work).await.unwrap_or_else(|failed| {
        let message = "the thread that accesses the disk ended";
        Err(BackendError::new(ErrorKind::Unexpected, "access the state file", message).with_source(failed))
    })
}

#[cfg(test)]
mod tests {
    use deployer_core::model::Maintenance;

    use super::*;

    #[test]
    fn a_number_is_spent_on_a_change_only() {
        let settings = NginxSettings::default();
        let first = next(None, Epoch(5), &Split::EMPTY, &settings).unwrap();
        assert_eq!((first.generation, first.epoch), (1, Epoch(5)));
        let after = |epoch, split: &Split| next(Some(&first), Epoch(epoch), split, &settings);
        assert_eq!(after(5, &Split::EMPTY), None);
        let owned = after(6, &Split::EMPTY).unwrap();
        assert_eq!((owned.generation, owned.epoch, &owned.stamp), (1, Epoch(6), &first.stamp));
        let other = after(5, &Split::Maintenance(Maintenance::default())).unwrap();
        assert_eq!(other.generation, 2);
        assert_eq!(fence("t", Some(&first), Epoch(4)).unwrap_err().kind, ErrorKind::Conflict);
        fence("t", Some(&first), Epoch(5)).unwrap();
    }

    #[test]
    fn other_settings_are_a_change() {
        let settings = NginxSettings::default();
        let first = Accepted::new(Epoch(5), 1, &Split::EMPTY, &settings);
        let patient = NginxSettings { tries: 9, ..settings };
        let second = next(Some(&first), Epoch(5), &Split::EMPTY, &patient).unwrap();
        assert_eq!(second.generation, 2);
    }
}
