//! Requests in files.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    model::{DeploymentId, Timestamp, WorkloadId},
    ports::{Clock as _, PostedRequest, RequestError, RequestStore, SystemClock},
    strategy::{Posted, RequestKind},
};

type Result<T> = std::result::Result<T, RequestError>;

/// Requests in `<directory>/<workload>/<deployment>.requests`, one line each, best in the directory of the
/// [file journal](crate::journal::FileJournal).
///
/// A request is appended under a lock of the kernel and synced. A last line that was cut off by a crash was never
/// promised to anybody and is dropped. As long as nothing is asked, looking costs one call to the file system.
#[derive(Debug, Clone)]
pub struct FileRequests(Arc<Files>);

#[derive(Debug)]
struct Files {
    directory: PathBuf,
    /// How long a file was when it was last read, and the last number in it.
    read: Mutex<BTreeMap<PathBuf, (u64, u64)>>,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    number: u64,
    deployment: DeploymentId,
    at: Timestamp,
    by: String,
    request: RequestKind,
}

impl FileRequests {
    /// Requests in this directory, which is made if there is none.
    ///
    /// # Errors
    /// The directory can be neither found nor made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        make_directory(&directory)?;
        Ok(Self(Arc::new(Files { directory, read: Mutex::default() })))
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
impl RequestStore for FileRequests {
    async fn post(
        &self,
        home: &WorkloadId,
        deployment: &DeploymentId,
        kind: &RequestKind,
        by: &str,
    ) -> Result<u64> {
        let (path, directory) = (self.0.path(home, deployment), self.0.directory.join(home.as_str()));
        let line = Line {
            number: 0,
            deployment: deployment.clone(),
            at: SystemClock::new().now(),
            by: by.to_owned(),
            request: kind.clone(),
        };
        self.blocking(move |_| {
            make_directory(&directory)?;
            append(&path, &directory, line)
        })
        .await
    }

    async fn since(
        &self,
        home: &WorkloadId,
        deployment: &DeploymentId,
        number: u64,
    ) -> Result<Vec<PostedRequest>> {
        let (path, deployment) = (self.0.path(home, deployment), deployment.clone());
        self.blocking(move |files| files.since(path, &deployment, number)).await
    }
}

impl Files {
    fn path(&self, home: &WorkloadId, deployment: &DeploymentId) -> PathBuf {
        // Not `.jsonl`: that would be a journal.
        self.directory.join(home.as_str()).join(format!("{deployment}.requests"))
    }

    fn since(&self, path: PathBuf, deployment: &DeploymentId, number: u64) -> Result<Vec<PostedRequest>> {
        let length = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed("looking at the requests", &path))?.len(),
        };
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&path).copied();
        if known.is_some_and(|(before, last)| before == length && last <= number) {
            return Ok(Vec::new());
        }
        let bytes = std::fs::read(&path).map_err(failed("reading the requests", &path))?;
        let (lines, _) = parse(&bytes, &path)?;
        let last = lines.last().map_or(0, |line| line.number);
        let read = (bytes.len() as u64, last);
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(path, read);
        let new = lines.into_iter().filter(|line| line.number > number && line.deployment == *deployment);
        Ok(new
            .map(|line| PostedRequest {
                posted: Posted { number: line.number, by: line.by },
                kind: line.request,
            })
            .collect())
    }
}

fn append(path: &Path, directory: &Path, mut line: Line) -> Result<u64> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("opening the requests", path))?;
    file.lock().map_err(failed("locking the requests", path))?;
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
    read.map_err(failed("reading the requests", path))?;
    let (lines, length) = parse(&bytes, path)?;
    if length < bytes.len() {
        file.set_len(length as u64).map_err(failed("cutting a torn request off", path))?;
    }
    line.number = lines.last().map_or(0, |line| line.number) + 1;
    let mut text =
        serde_json::to_vec(&line).map_err(|error| failed("writing a request as JSON", path)(error.into()))?;
    text.push(b'\n');
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .map_err(failed("appending to the requests", path))?;
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(failed("syncing the directory of the requests", directory))?;
    Ok(line.number)
}

/// All whole lines, and how many bytes they are.
fn parse(bytes: &[u8], path: &Path) -> Result<(Vec<Line>, usize)> {
    let length = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut lines = Vec::new();
    for text in bytes[..length].split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        let corrupt = |why: String| RequestError::Corrupt {
            line: lines.len() + 1,
            place: path.display().to_string(),
            why,
        };
        let line: Line = serde_json::from_slice(text).map_err(|error| corrupt(error.to_string()))?;
        if line.number != lines.len() as u64 + 1 {
            return Err(corrupt(format!("it has number {}", line.number)));
        }
        lines.push(line);
    }
    Ok((lines, length))
}

fn make_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(failed("making the directory of the requests", path))
}

fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> RequestError + use<> {
    let place = path.display().to_string();
    move |source| RequestError::Io { operation, place: place.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (WorkloadId, DeploymentId) {
        (WorkloadId::new("web").unwrap(), DeploymentId::new("d1").unwrap())
    }

    #[tokio::test]
    async fn requests_are_numbered_whoever_posts_them_and_a_torn_one_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let (web, d1) = names();
        let (one, other) =
            (FileRequests::open(directory.path()).unwrap(), FileRequests::open(directory.path()).unwrap());
        assert!(one.since(&web, &d1, 0).await.unwrap().is_empty());
        assert_eq!(one.post(&web, &d1, &RequestKind::Pause, "me").await.unwrap(), 1);
        let path = directory.path().join("web/d1.requests");
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes[..bytes.len() / 2].to_vec();
        bytes.extend(half);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(one.since(&web, &d1, 0).await.unwrap().len(), 1, "the torn one is dropped");
        assert_eq!(other.post(&web, &d1, &RequestKind::Resume, "you").await.unwrap(), 2);
        let new = one.since(&web, &d1, 1).await.unwrap();
        assert_eq!(
            new,
            [PostedRequest { posted: Posted { number: 2, by: "you".into() }, kind: RequestKind::Resume }]
        );
        assert!(one.since(&web, &d1, 2).await.unwrap().is_empty());
        assert_eq!(one.since(&web, &d1, 0).await.unwrap().len(), 2, "who starts again sees all");
    }

    #[tokio::test]
    async fn thirty_posters_at_once_get_thirty_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let (web, d1) = names();
        let posts = (0..30).map(|_| {
            let requests = FileRequests::open(directory.path()).unwrap();
            let (web, d1) = (web.clone(), d1.clone());
            async move { requests.post(&web, &d1, &RequestKind::Promote, "me").await.unwrap() }
        });
        let mut numbers = futures::future::join_all(posts).await;
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_is_no_request_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (web, d1) = names();
        let requests = FileRequests::open(directory.path()).unwrap();
        requests.post(&web, &d1, &RequestKind::Pause, "me").await.unwrap();
        let path = directory.path().join("web/d1.requests");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(b"{}\n");
        std::fs::write(&path, &bytes).unwrap();
        let error = requests.since(&web, &d1, 0).await.unwrap_err().to_string();
        assert!(error.starts_with("line 2 of ") && error.contains("web/d1.requests"), "{error}");
        assert!(requests.post(&web, &d1, &RequestKind::Pause, "me").await.is_err());
    }
}
