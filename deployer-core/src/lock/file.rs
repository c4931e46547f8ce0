//! A lock in a file, held by the kernel for as long as its process lives.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use super::{
    generation::{self, Successor},
    record::{Record, owner},
};
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
///
/// [`take_over`](Lock::take_over) replaces an owner that lives, stopped or not: the lock is the file `lock.1` from then
/// on, and so forth. The old owner finds its lock lost before its next effect; its epoch is refused by the journal, and
/// by targets and routers that fence.
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
        let (workloads, deployment) = (sorted(workloads), deployment.clone());
        self.blocking(move |directory| acquire(directory, &workloads, &deployment, false)).await
    }

    async fn renew(&self, workloads: &[WorkloadId], epoch: Epoch) -> Result<()> {
        let workloads = workloads.to_vec();
        self.blocking(move |directory| {
            for workload in &workloads {
                let directory = directory.join(workload.as_str());
                let record =
                    generation::record(&directory).map_err(failed("reading the lock", &directory))?;
                if record.is_none_or(|record| record.epoch != epoch) {
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
            let directory = directory.join(workload.as_str());
            let number =
                generation::newest(&directory).map_err(failed("looking for the lock", &directory))?;
            let path = generation::path(&directory, number);
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
        let (workloads, deployment) = (sorted(workloads), deployment.clone());
        self.blocking(move |directory| acquire(directory, &workloads, &deployment, true)).await
    }
}

fn sorted(workloads: &[WorkloadId]) -> Vec<WorkloadId> {
    let mut workloads = workloads.to_vec();
    workloads.sort();
    workloads.dedup();
    workloads
}

/// The lock of one workload, on its way to being ours.
#[derive(Debug)]
enum Taken {
    /// The newest file, which the kernel gave us.
    Free { file: File, number: u64 },
    /// A file that is to replace one that somebody holds.
    Replacing(Successor),
}

impl Taken {
    fn file(&self) -> &File {
        match self {
            Self::Free { file, .. } => file,
            Self::Replacing(successor) => &successor.file,
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Free { number, .. } => *number,
            Self::Replacing(successor) => successor.number,
        }
    }

    fn into_file(self) -> io::Result<File> {
        match self {
            Self::Free { file, .. } => Ok(file),
            Self::Replacing(successor) => successor.file.try_clone(),
        }
    }
}

fn acquire(
    directory: &Path,
    workloads: &[WorkloadId],
    deployment: &DeploymentId,
    by_force: bool,
) -> Result<Box<dyn LockGrant>> {
    let mut taken = Vec::with_capacity(workloads.len());
    let mut newest = Epoch::default();
    for workload in workloads {
        let place = directory.join(workload.as_str());
        let one = match take(&place, workload) {
            Err(LockError::Held { .. }) if by_force => replace(&place)?,
            other => other?,
        };
        let stored = generation::last_epoch(&place).map_err(failed("reading the lock", &place))?;
        newest = newest.max(stored).max(last_epoch_in(&place).map_err(of_journal)?);
        taken.push((place, workload, one));
    }
    let mut record = Record {
        owner: owner(),
        since: SystemClock::new().now(),
        epoch: newest,
        deployment: deployment.clone(),
    };
    loop {
        record.epoch = record.epoch.next();
        for (place, _, one) in &taken {
            one.file()
                .write_all_at(&record.encode(), record.offset())
                .and_then(|()| one.file().sync_all())
                .map_err(failed("writing the lock", place))?;
        }
        for (place, workload, one) in &taken {
            publish(place, workload, one)?;
        }
        // Who was replaced while it took the lock has written its epoch before this look, or sees that it was replaced.
        let mut others = Epoch::default();
        for (place, _, one) in taken.iter().filter(|(_, _, one)| matches!(one, Taken::Replacing(_))) {
            let replaced = generation::last_epoch_without(place, Some(one.number()));
            others = others.max(replaced.map_err(failed("reading the lock", place))?);
        }
        if others < record.epoch {
            break;
        }
        record.epoch = others;
    }
    let epoch = record.epoch;
    let files =
        taken.into_iter().map(|(place, _, one)| one.into_file().map_err(failed("keeping the lock", &place)));
    Ok(Box::new(Grant { epoch, _files: files.collect::<Result<_>>()? }))
}

/// Nobody may have come in between: neither one who replaces as well, nor one who replaced us.
fn publish(directory: &Path, workload: &WorkloadId, taken: &Taken) -> Result<()> {
    let failed = failed("replacing the lock", directory);
    if let Taken::Replacing(successor) = taken {
        match successor.publish(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(&failed)?,
        }
    }
    let newest = generation::newest(directory).map_err(&failed)?;
    let is_ours = newest == taken.number() && is_file(taken.file(), &generation::path(directory, newest));
    if is_ours { Ok(()) } else { Err(held(directory, workload)) }
}

fn is_file(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => identity(ours) == identity(theirs),
        _ => false,
    }
}

fn replace(directory: &Path) -> Result<Taken> {
    let failed = failed("replacing the lock", directory);
    let newest = generation::newest(directory).map_err(&failed)?;
    Ok(Taken::Replacing(Successor::make(directory, newest).map_err(failed)?))
}

fn take(directory: &Path, workload: &WorkloadId) -> Result<Taken> {
    make_directory(directory)?;
    for look in 1..=LOOKS {
        let number = generation::newest(directory).map_err(failed("looking for the lock", directory))?;
        let path = generation::path(directory, number);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("opening the lock", &path))?;
        sync_directory(directory)?;
        match file.try_lock() {
            Ok(()) => return Ok(Taken::Free { file, number }),
            Err(TryLockError::WouldBlock) if look < LOOKS => std::thread::sleep(BETWEEN_LOOKS),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(failed("taking the lock", &path)(error)),
        }
    }
    Err(held(directory, workload))
}

fn held(directory: &Path, workload: &WorkloadId) -> LockError {
    let unnamed = || LockHolder {
        owner: "a process that has not written its name yet".to_owned(),
        since: SystemClock::new().now(),
        epoch: Epoch::default(),
        dead: false,
    };
    match generation::record(directory) {
        Ok(record) => {
            let holder = record.map_or_else(unnamed, |record| record.holder(false));
            LockError::Held { workload: workload.clone(), holder }
        }
        Err(error) => failed("reading the lock", directory)(error),
    }
}

fn of_journal(error: JournalError) -> LockError {
    let (operation, place) = ("looking for the last epoch", "the journal beside the lock".to_owned());
    match error {
        JournalError::Io { place, source, .. } => LockError::Io { operation, place, source },
        other => LockError::Io { operation, place, source: io::Error::other(other) },
    }
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
        let error = second.acquire(&web, &deployment()).await.unwrap_err();
        let LockError::Held { holder, .. } = error else { panic!("{error}") };
        assert!(holder.owner.contains(&format!(":{}:", std::process::id())), "{}", holder.owner);
        assert_eq!((holder.epoch, holder.dead), (Epoch(1), false));
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
    async fn a_living_owner_is_replaced_by_force_alone_and_for_good() {
        let directory = tempfile::tempdir().unwrap();
        let lock = FileLock::open(directory.path()).unwrap();
        let both = workloads(&["a", "b"]);
        let stopped = lock.acquire(&both[..1], &deployment()).await.unwrap();
        for owners in 2..5 {
            assert!(lock.acquire(&both, &deployment()).await.is_err());
            let taken = lock.take_over(&both, &deployment()).await.unwrap();
            assert_eq!(taken.epoch(), Epoch(owners));
            assert!(matches!(lock.renew(&both[..1], stopped.epoch()).await, Err(LockError::Lost)));
            lock.renew(&both, taken.epoch()).await.unwrap();
            assert_eq!(lock.holder(&both[0]).await.unwrap().unwrap().epoch, taken.epoch());
            assert!(matches!(lock.acquire(&both[..1], &deployment()).await, Err(LockError::Held { .. })));
            if owners == 4 {
                drop(stopped);
                assert!(lock.acquire(&both, &deployment()).await.is_err(), "the old owner ends alone");
                drop(taken);
                break;
            }
            std::mem::forget(taken);
        }
        assert_eq!(lock.holder(&both[0]).await.unwrap(), None);
        let error = lock.acquire(&both[1..], &deployment()).await;
        assert!(error.is_ok(), "{error:?}");
        let names = fs::read_dir(directory.path().join("a")).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["lock", "lock.1", "lock.2", "lock.3"], "nothing else is left");
    }

    #[tokio::test]
    async fn of_many_who_replace_an_owner_at_once_one_wins() {
        for _ in 0..50 {
            let directory = tempfile::tempdir().unwrap();
            let lock = FileLock::open(directory.path()).unwrap();
            let web = workloads(&["web"]);
            let _stopped = lock.acquire(&web, &deployment()).await.unwrap();
            let barrier = std::sync::Barrier::new(4);
            let try_one = || {
                barrier.wait();
                acquire(directory.path(), &web, &deployment(), true)
            };
            let grants: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(try_one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            // Whoever comes a moment later replaces the winner: that is what it asked for.
            let mut epochs: Vec<_> = grants.iter().flatten().map(|grant| grant.epoch()).collect();
            epochs.sort();
            let all = epochs.len();
            epochs.dedup();
            assert_eq!(epochs.len(), all, "no two have one epoch");
            let mut still = 0;
            for epoch in &epochs {
                still += u32::from(lock.renew(&web, *epoch).await.is_ok());
            }
            assert_eq!((still, epochs.is_empty()), (1, false), "{epochs:?}");
        }
    }

    #[tokio::test]
    async fn the_epoch_is_larger_than_that_of_the_journal_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let journal = crate::journal::FileJournal::open(directory.path()).unwrap();
        let first = crate::event::Event {
            deployment: deployment(),
            seq: 0,
            epoch: Epoch(41),
            at: crate::model::Timestamp::default(),
            path: Vec::new(),
            kind: crate::event::EventKind::StageStarted,
        };
        crate::ports::Journal::create(&journal, &workloads(&["web"]), &first).await.unwrap();
        let damaged = std::fs::read_to_string(directory.path().join("web/d1.jsonl")).unwrap();
        let damaged = damaged.replace("\"epoch\":41", "\"epoch\":99");
        std::fs::write(directory.path().join("web/d2.jsonl"), damaged).unwrap();
        let lock = FileLock::open(directory.path()).unwrap();
        assert_eq!(lock.acquire(&workloads(&["web"]), &deployment()).await.unwrap().epoch(), Epoch(42));
    }
}
