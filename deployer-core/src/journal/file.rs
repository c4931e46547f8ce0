//! A journal in files.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    codec::epoch_of_line,
    disk::Disk,
    reader::read,
    storage::{Log, Storage},
};
use crate::{
    event::{Event, EventKind},
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Journal, JournalError},
};
use async_trait::async_trait;

type Result<T> = std::result::Result<T, JournalError>;

/// A journal in files: `<directory>/<workload>/<deployment>.jsonl`, one line an event. A deployment of several workloads
/// lies with the first; the others have a link to it.
///
/// Directories are made with mode 0700 and files with 0600. Each event is one write and one `fdatasync`; the directory
/// is synced when a file is made. A new owner puts a file of its own, with what it has read, in the place of the one
/// before: what an owner writes that was stopped and wakes comes to nothing. After a failed write or sync the file is not written again by this process. Use a
/// local file system: network file systems may not keep what they say about syncs and locks.
#[derive(Debug, Clone)]
pub struct FileJournal(Arc<Files>);

#[derive(Debug)]
struct Files {
    directory: PathBuf,
    open: Mutex<BTreeMap<DeploymentId, Shared>>,
}

type Shared = Arc<Mutex<Log<Disk>>>;

impl FileJournal {
    /// Opens the journal in this directory, and makes the directory if there is none.
    ///
    /// # Errors
    /// The directory can be neither found nor made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        make_directory(&directory)?;
        Ok(Self(Arc::new(Files { directory, open: Mutex::default() })))
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let files = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&files)).await {
            Ok(done) => done,
            Err(error) => Err(failed("waiting for the disk", &self.0.directory)(io::Error::other(error))),
        }
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> Result<()> {
        let (workloads, first) = (workloads.to_vec(), first.clone());
        self.blocking(move |files| files.create(&workloads, &first)).await
    }

    async fn append(&self, event: &Event) -> Result<()> {
        let event = event.clone();
        self.blocking(move |files| files.append(&event)).await
    }

    async fn load(&self, deployment: &DeploymentId) -> Result<Vec<Event>> {
        let deployment = deployment.clone();
        self.blocking(move |files| files.load(&deployment)).await
    }

    async fn list(&self, workload: &WorkloadId) -> Result<Vec<DeploymentId>> {
        let workload = workload.clone();
        self.blocking(move |files| list(&files.directory.join(workload.as_str()))).await
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> Result<Epoch> {
        let workload = workload.clone();
        self.blocking(move |files| last_epoch_in(&files.directory.join(workload.as_str()))).await
    }
}

impl Files {
    fn create(&self, workloads: &[WorkloadId], first: &Event) -> Result<()> {
        let mut open = self.open();
        let Some((home, others)) = workloads.split_first() else {
            let why = io::Error::other("a deployment is of at least one workload");
            return Err(failed("making the journal", &self.directory)(why));
        };
        let path = self.directory.join(home.as_str()).join(file_name(&first.deployment));
        // Deployments are appended to by their name alone, so no two workloads may share one.
        if self.find(&first.deployment)?.is_some_and(|found| found != path) {
            return Err(JournalError::AlreadyExists(first.deployment.clone()));
        }
        // Links come first: without the file they say nothing, and a file without them would hide from its workloads.
        for other in others {
            link(&self.directory, home, other, &file_name(&first.deployment))?;
        }
        let mut log = Log::open(Disk::create(&path)?)?;
        if !log.is_empty() {
            return Err(JournalError::AlreadyExists(first.deployment.clone()));
        }
        let result = log.append(first);
        // A poisoned log is kept as well: nothing may be appended behind a failed write.
        open.insert(first.deployment.clone(), Arc::new(Mutex::new(log)));
        result
    }

    fn append(&self, event: &Event) -> Result<()> {
        let log = self.log(&event.deployment)?;
        lock(&log).append(event)?;
        if matches!(event.kind, EventKind::DeploymentFinished { .. }) {
            self.open().remove(&event.deployment);
        }
        Ok(())
    }

    fn load(&self, deployment: &DeploymentId) -> Result<Vec<Event>> {
        let kept = self.open().get(deployment).cloned();
        let (bytes, place) = if let Some(log) = kept {
            let mut log = lock(&log);
            let place = log.storage().place();
            (log.storage_mut().bytes(), place)
        } else {
            let missing = || JournalError::NotFound(deployment.clone());
            let path = self.find(deployment)?.ok_or_else(missing)?;
            (std::fs::read(&path), path.display().to_string())
        };
        let bytes = bytes.map_err(failed("reading the journal", Path::new(&place)))?;
        let events = read(&bytes, &place)?.events;
        if let Some(first) = events.first().filter(|first| first.deployment != *deployment) {
            let why = format!("it belongs to deployment {}", first.deployment);
            return Err(JournalError::Corrupt { record: 0, place, why });
        }
        if events.is_empty() { Err(JournalError::NotFound(deployment.clone())) } else { Ok(events) }
    }

    fn log(&self, deployment: &DeploymentId) -> Result<Shared> {
        let mut open = self.open();
        if let Some(log) = open.get(deployment) {
            return Ok(Arc::clone(log));
        }
        let path = self.find(deployment)?.ok_or_else(|| JournalError::NotFound(deployment.clone()))?;
        let log = Arc::new(Mutex::new(Log::open(Disk::open(&path)?)?));
        open.insert(deployment.clone(), Arc::clone(&log));
        Ok(log)
    }

    /// A deployment is named without its workload when it is appended to, so its file is looked for.
    fn find(&self, deployment: &DeploymentId) -> Result<Option<PathBuf>> {
        let failed = failed("listing the journal", &self.directory);
        for entry in std::fs::read_dir(&self.directory).map_err(&failed)? {
            let path = entry.map_err(&failed)?.path().join(file_name(deployment));
            if path.is_file() && !path.is_symlink() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<DeploymentId, Shared>> {
        lock(&self.open)
    }
}

/// The largest epoch that a journal of this workload's directory ends with. What is not whole says nothing.
pub(crate) fn last_epoch_in(directory: &Path) -> Result<Epoch> {
    let epochs = journals(directory)?
        .into_iter()
        .filter_map(|name| epoch_of_line(&last_line(&directory.join(file_name(&name))).ok()??));
    Ok(epochs.max().unwrap_or_default())
}

/// Oldest first. Those whose beginning cannot be read come last: they may be the newest.
fn list(directory: &Path) -> Result<Vec<DeploymentId>> {
    let mut found: Vec<_> = journals(directory)?
        .into_iter()
        .filter_map(|name| match beginning(&directory.join(file_name(&name))) {
            Beginning::Never => None,
            Beginning::At(epoch) => Some((false, epoch, name)),
            Beginning::Unreadable => Some((true, Epoch::default(), name)),
        })
        .collect();
    found.sort();
    Ok(found.into_iter().map(|(_, _, name)| name).collect())
}

/// What the first record of a file says.
enum Beginning {
    /// It was not written to its end, so nothing followed from it.
    Never,
    At(Epoch),
    Unreadable,
}

fn beginning(path: &Path) -> Beginning {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Beginning::Never,
        Err(_) => return Beginning::Unreadable,
    };
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Beginning::Never };
    match read(&bytes[..=end], "") {
        Ok(contents) => {
            contents.events.first().map_or(Beginning::Unreadable, |event| Beginning::At(event.epoch))
        }
        Err(_) => Beginning::Unreadable,
    }
}

fn journals(directory: &Path) -> Result<Vec<DeploymentId>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed("listing the journal", directory))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("listing the journal", directory))?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        names.extend(stem.and_then(|stem| DeploymentId::new(stem).ok()));
    }
    Ok(names)
}

/// The last line that has its line feed.
fn last_line(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut window = 64 * 1024;
    loop {
        let start = length.saturating_sub(window);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&file).take(length - start).read_to_end(&mut bytes)?;
        let feeds: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        match feeds[..] {
            [.., before, last] => return Ok(Some(bytes[before + 1..last].to_vec())),
            [only] if start == 0 => return Ok(Some(bytes[..only].to_vec())),
            _ if start == 0 => return Ok(None),
            _ => window *= 8,
        }
    }
}

/// The journal of a deployment lies with its first workload; the others have a link to it.
fn link(directory: &Path, home: &WorkloadId, other: &WorkloadId, file: &str) -> Result<()> {
    let place = directory.join(other.as_str());
    make_directory(&place)?;
    let goal = Path::new("..").join(home.as_str()).join(file);
    match symlink(&goal, place.join(file)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(failed("linking the journal", &place))?,
    }
    File::open(&place)
        .and_then(|place| place.sync_all())
        .map_err(failed("syncing the directory of the journal", &place))
}

fn file_name(deployment: &DeploymentId) -> String {
    format!("{deployment}.jsonl")
}

pub(super) fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("making the directory of the journal", path))
}

pub(super) fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> JournalError + use<> {
    let place = path.display().to_string();
    move |source| JournalError::Io { operation, place: place.clone(), source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{model::Timestamp, strategy::Outcome};

    fn event(deployment: &str, seq: u64, epoch: u64) -> Event {
        Event {
            deployment: DeploymentId::new(deployment).unwrap(),
            seq,
            epoch: Epoch(epoch),
            at: Timestamp::from_millis(seq),
            path: Vec::new(),
            kind: EventKind::StageStarted,
        }
    }

    fn id(name: &str) -> DeploymentId {
        DeploymentId::new(name).unwrap()
    }

    #[tokio::test]
    async fn what_was_appended_is_there_for_the_next_process_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("state");
        let (web, journal) = ([WorkloadId::new("web").unwrap()], FileJournal::open(&root).unwrap());
        journal.create(&web, &event("d1", 0, 3)).await.unwrap();
        journal.append(&event("d1", 1, 3)).await.unwrap();
        journal.create(&web, &event("a2", 0, 4)).await.unwrap();
        assert_eq!(journal.load(&id("d1")).await.unwrap().len(), 2, "the writer reads it too");

        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&root.join("web")), 0o700);
        assert_eq!(mode(&root.join("web/d1.jsonl")), 0o600);

        let next = FileJournal::open(&root).unwrap();
        assert_eq!(next.load(&id("d1")).await.unwrap(), [event("d1", 0, 3), event("d1", 1, 3)]);
        assert_eq!(next.list(&web[0]).await.unwrap(), [id("d1"), id("a2")], "oldest first, not by name");
        assert_eq!(next.last_epoch(&web[0]).await.unwrap(), Epoch(4));
        let again = next.create(&web, &event("d1", 0, 5)).await.unwrap_err();
        assert!(matches!(again, JournalError::AlreadyExists(_)), "{again}");
        let missing = next.load(&id("d9")).await.unwrap_err();
        assert!(matches!(missing, JournalError::NotFound(_)), "{missing}");
    }

    #[tokio::test]
    async fn a_deployment_of_several_workloads_is_known_to_each() {
        let directory = tempfile::tempdir().unwrap();
        let both = ["web", "api"].map(|name| WorkloadId::new(name).unwrap());
        let journal = FileJournal::open(directory.path()).unwrap();
        journal.create(&both, &event("d1", 0, 3)).await.unwrap();
        journal.append(&event("d1", 1, 4)).await.unwrap();
        let next = FileJournal::open(directory.path()).unwrap();
        next.append(&event("d1", 2, 5)).await.unwrap();
        for workload in &both {
            assert_eq!(next.list(workload).await.unwrap(), [id("d1")]);
            assert_eq!(next.last_epoch(workload).await.unwrap(), Epoch(5));
        }
        assert_eq!(next.load(&id("d1")).await.unwrap().len(), 3);
        // Killed after the link and before the file: the deployment never was.
        symlink("../web/d2.jsonl", directory.path().join("api/d2.jsonl")).unwrap();
        assert_eq!(next.list(&both[1]).await.unwrap(), [id("d1")]);
        next.create(&both, &event("d2", 0, 6)).await.unwrap();
        assert_eq!(next.list(&both[1]).await.unwrap(), [id("d1"), id("d2")]);
    }

    #[tokio::test]
    async fn a_torn_tail_is_cut_off_before_the_first_append() {
        let directory = tempfile::tempdir().unwrap();
        let web = [WorkloadId::new("web").unwrap()];
        let journal = FileJournal::open(directory.path()).unwrap();
        journal.create(&web, &event("d1", 0, 1)).await.unwrap();
        let path = directory.path().join("web/d1.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"deployment\":\"d1\",\"se");
        std::fs::write(&path, &bytes).unwrap();

        let next = FileJournal::open(directory.path()).unwrap();
        next.append(&event("d1", 1, 2)).await.unwrap();
        assert_eq!(next.load(&id("d1")).await.unwrap().len(), 2);

        std::fs::write(&path, b"{\"torn").unwrap();
        let third = FileJournal::open(directory.path()).unwrap();
        assert!(matches!(third.load(&id("d1")).await, Err(JournalError::NotFound(_))), "never was created");
        third.create(&web, &event("d1", 0, 3)).await.unwrap();
        assert_eq!(third.load(&id("d1")).await.unwrap(), [event("d1", 0, 3)]);
    }

    #[tokio::test]
    async fn a_writer_that_was_taken_over_is_fenced() {
        let directory = tempfile::tempdir().unwrap();
        let web = [WorkloadId::new("web").unwrap()];
        let old = FileJournal::open(directory.path()).unwrap();
        old.create(&web, &event("d1", 0, 1)).await.unwrap();
        let new = FileJournal::open(directory.path()).unwrap();
        new.append(&event("d1", 1, 2)).await.unwrap();
        let error = old.append(&event("d1", 1, 1)).await.unwrap_err();
        assert!(matches!(error, JournalError::Fenced { newer: Epoch(2), .. }), "{error}");
    }

    #[tokio::test]
    async fn damage_is_named_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let web = [WorkloadId::new("web").unwrap()];
        let journal = FileJournal::open(directory.path()).unwrap();
        journal.create(&web, &event("d1", 0, 1)).await.unwrap();
        let last = EventKind::DeploymentFinished { outcome: Outcome::Succeeded };
        journal.append(&Event { kind: last, ..event("d1", 1, 1) }).await.unwrap();
        let path = directory.path().join("web/d1.jsonl");
        let text = std::fs::read_to_string(&path).unwrap().replace("succeeded", "succeedet");
        std::fs::write(&path, text).unwrap();
        let error = journal.load(&id("d1")).await.unwrap_err().to_string();
        assert!(error.starts_with("record 1 of ") && error.contains("web/d1.jsonl"), "{error}");
        assert_eq!(journal.list(&web[0]).await.unwrap(), [id("d1")], "it is listed all the same");
    }

    #[tokio::test]
    async fn what_the_owner_before_still_writes_comes_to_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (web, before) = ([WorkloadId::new("web").unwrap()], FileJournal::open(directory.path()).unwrap());
        before.create(&web, &event("d1", 0, 3)).await.unwrap();
        let path = directory.path().join("web/d1.jsonl");
        // It was stopped when it had looked, and was about to write.
        let mut stopped = Disk::open(&path).unwrap();
        let after = FileJournal::open(directory.path()).unwrap();
        after.append(&event("d1", 1, 4)).await.unwrap();
        stopped.append(b"{\"half a record\"\n").unwrap();
        let late = before.append(&event("d1", 2, 3)).await.unwrap_err();
        assert!(matches!(late, JournalError::Fenced { have: Epoch(3), newer: Epoch(4) }), "{late}");
        after.append(&event("d1", 2, 4)).await.unwrap();
        let events = FileJournal::open(directory.path()).unwrap().load(&id("d1")).await.unwrap();
        assert_eq!(events, [event("d1", 0, 3), event("d1", 1, 4), event("d1", 2, 4)]);
        let names = std::fs::read_dir(directory.path().join("web")).unwrap();
        assert_eq!(names.count(), 1, "nothing is left beside it");
    }
}
