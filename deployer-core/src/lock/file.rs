//! A lock in a file, held by the kernel for as long as its process lives.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use super::record::{Record, owner};
use crate::{
    error::LockHolder,
    journal::last_epoch_in,
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Clock as _, JournalError, Lock, LockError, LockGrant, SystemClock},
};

type Result<T> = std::result::Result<T, LockError>;

/// Somebody who only looks at a lock holds it for a moment; that is waited out.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A lock in `<directory>/<workload>/lock`, best the directory of the [file journal](crate::journal::FileJournal).
///
/// The kernel holds it (`flock`) as long as the process lives and frees it at its death, so it cannot be left behind;
/// a stopped process still holds it. The file is never renamed or deleted. It says who has it, since when and with
/// which epoch. Use a local file system.
#[derive(Debug, Clone)]
pub struct FileLock {
    directory: Arc<Path>,
}

impl FileLock {
    /// Locks in this directory, which is made if there is none.
    ///
    /// # Errors
    /// The directory can be neither found nor made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        make_directory(&directory)?;
        Ok(Self { directory: directory.into() })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let directory = Arc::clone(&self.directory);
        match tokio::task::spawn_blocking(move || work(&directory)).await {
            Ok(done) => done,
            Err(error) => Err(failed("waiting for the disk", &self.directory)(io::Error::other(error))),
        }
    }
}

#[derive(Debug)]
struct Grant {
    epoch: Epoch,
    /// The kernel frees the locks when these are closed.
    _files: Vec<File>,
}

impl LockGrant for Grant {
    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

#[async_trait]
impl Lock for FileLock {
    async fn acquire(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>> {
        let mut workloads = workloads.to_vec();
        workloads.sort();
        workloads.dedup();
        let deployment = deployment.clone();
        self.blocking(move |directory| acquire(directory, &workloads, &deployment)).await
    }

    async fn renew(&self, workloads: &[WorkloadId], epoch: Epoch) -> Result<()> {
        let workloads = workloads.to_vec();
        self.blocking(move |directory| {
            for workload in &workloads {
                let path = path(directory, workload);
                let bytes = std::fs::read(&path).map_err(failed("reading the lock", &path))?;
                if Record::newest(&bytes).is_none_or(|record| record.epoch != epoch) {
                    return Err(LockError::Lost);
                }
            }
            Ok(())
        })
        .await
    }

    async fn holder(&self, workload: &WorkloadId) -> Result<Option<LockHolder>> {
        let workload = workload.clone();
        self.blocking(move |directory| {
            let path = path(directory, &workload);
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other.map_err(failed("opening the lock", &path))?,
            };
            let held = match file.try_lock_shared() {
                Ok(()) => false,
                Err(TryLockError::WouldBlock) => true,
                Err(TryLockError::Error(error)) => return Err(failed("looking at the lock", &path)(error)),
            };
            drop(file);
            let bytes = std::fs::read(&path).map_err(failed("reading the lock", &path))?;
            Ok(Record::newest(&bytes).filter(|_| held).map(|record| record.holder(false)))
        })
        .await
    }

    async fn take_over(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>> {
        // The kernel proves death: a lock that is still held has a living owner, and any other can be acquired.
        self.acquire(workloads, deployment).await
    }
}

fn acquire(
    directory: &Path,
    workloads: &[WorkloadId],
    deployment: &DeploymentId,
) -> Result<Box<dyn LockGrant>> {
    let mut files = Vec::with_capacity(workloads.len());
    let mut newest = Epoch::default();
    for workload in workloads {
        let path = path(directory, workload);
        let file = take(&path, workload)?;
        let bytes = std::fs::read(&path).map_err(failed("reading the lock", &path))?;
        let stored = Record::newest(&bytes).map(|record| record.epoch).unwrap_or_default();
        let journaled = last_epoch_in(&directory.join(workload.as_str())).map_err(of_journal)?;
        newest = newest.max(stored).max(journaled);
        files.push(file);
    }
    let record = Record {
        owner: owner(),
        since: SystemClock::new().now(),
        epoch: newest.next(),
        deployment: deployment.clone(),
    };
    for (file, workload) in files.iter().zip(workloads) {
        file.write_all_at(&record.encode(), record.offset())
            .and_then(|()| file.sync_all())
            .map_err(failed("writing the lock", &path(directory, workload)))?;
    }
    Ok(Box::new(Grant { epoch: record.epoch, _files: files }))
}

fn take(path: &Path, workload: &WorkloadId) -> Result<File> {
    let directory = path.parent().unwrap_or(path);
    make_directory(directory)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed("opening the lock", path))?;
    sync_directory(directory)?;
    for look in 1..=LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if look < LOOKS => std::thread::sleep(BETWEEN_LOOKS),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(failed("taking the lock", path)(error)),
        }
    }
    let bytes = std::fs::read(path).map_err(failed("reading the lock", path))?;
    let unnamed = || LockHolder {
        owner: "a process that has not written its name yet".to_owned(),
        since: SystemClock::new().now(),
        epoch: Epoch::default(),
        dead: false,
    };
    let holder = Record::newest(&bytes).map_or_else(unnamed, |record| record.holder(false));
    Err(LockError::Held { workload: workload.clone(), holder })
}

fn of_journal(error: JournalError) -> LockError {
    let (operation, place) = ("looking for the last epoch", "the journal beside the lock".to_owned());
    match error {
        JournalError::Io { place, source, .. } => LockError::Io { operation, place, source },
        other => LockError::Io { operation, place, source: io::Error::other(other) },
    }
}

fn path(directory: &Path, workload: &WorkloadId) -> PathBuf {
    directory.join(workload.as_str()).join("lock")
}

fn make_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(failed("making the directory of the lock", path))
}

fn sync_directory(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(failed("syncing the directory of the lock", path))
}

fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> LockError + use<> {
    let place = path.display().to_string();
    move |source| LockError::Io { operation, place: place.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workloads(names: &[&str]) -> Vec<WorkloadId> {
        names.iter().map(|name| WorkloadId::new(name).unwrap()).collect()
    }

    fn deployment() -> DeploymentId {
        DeploymentId::new("d1").unwrap()
    }

    #[tokio::test]
    async fn one_at_a_time_with_growing_epochs() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) =
            (FileLock::open(directory.path()).unwrap(), FileLock::open(directory.path()).unwrap());
        let web = workloads(&["web"]);
        let grant = first.acquire(&web, &deployment()).await.unwrap();
        assert_eq!(grant.epoch(), Epoch(1));
        for error in [
            second.acquire(&web, &deployment()).await.unwrap_err(),
            second.take_over(&web, &deployment()).await.unwrap_err(),
        ] {
            let LockError::Held { holder, .. } = error else { panic!("{error}") };
            assert!(holder.owner.contains(&format!(":{}:", std::process::id())), "{}", holder.owner);
            assert_eq!((holder.epoch, holder.dead), (Epoch(1), false));
        }
        assert_eq!(second.holder(&web[0]).await.unwrap().unwrap().epoch, Epoch(1));
        first.renew(&web, Epoch(1)).await.unwrap();
        drop(grant);
        assert_eq!(second.holder(&web[0]).await.unwrap(), None);
        assert_eq!(second.take_over(&web, &deployment()).await.unwrap().epoch(), Epoch(2));
        assert!(matches!(first.renew(&web, Epoch(1)).await, Err(LockError::Lost)));
    }

    #[tokio::test]
    async fn all_or_none_and_other_workloads_side_by_side() {
        let directory = tempfile::tempdir().unwrap();
        let lock = FileLock::open(directory.path()).unwrap();
        let grant = lock.acquire(&workloads(&["b"]), &deployment()).await.unwrap();
        assert!(lock.acquire(&workloads(&["c", "b", "a"]), &deployment()).await.is_err());
        assert_eq!(lock.holder(&workloads(&["a"])[0]).await.unwrap(), None, "none is kept");
        let other = lock.acquire(&workloads(&["a", "c"]), &deployment()).await.unwrap();
        drop((grant, other));
        let all = lock.acquire(&workloads(&["b", "a"]), &deployment()).await.unwrap();
        assert_eq!(all.epoch(), Epoch(2), "one more than any of them had");
    }

    #[tokio::test]
    async fn the_epoch_is_larger_than_that_of_the_journal_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("web")).unwrap();
        std::fs::write(directory.path().join("web/d1.jsonl"), "{\"epoch\":41}\n").unwrap();
        let lock = FileLock::open(directory.path()).unwrap();
        assert_eq!(lock.acquire(&workloads(&["web"]), &deployment()).await.unwrap().epoch(), Epoch(42));
    }
}
