//! Reloads: one at a time, and one for all who asked meanwhile.

use std::{
    collections::HashSet,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileTypeExt as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deployer_core::error::{BackendError, ErrorKind};
use rustix::process::Signal;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    handle::{Identity, Server},
    lock::FileLock,
    master::{Master, Worker},
};
use crate::error::capped;

const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The reloads of one server.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    asked: AtomicU64,
    /// Who holds it reloads.
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    /// Everybody up to this number has been answered for.
    up_to: u64,
    /// How it ended, for those who find that somebody else reloaded for them.
    refusal: Option<Refusal>,
    /// How many signals were sent.
    signals: u64,
}

#[derive(Debug, Clone)]
struct Refusal {
    kind: ErrorKind,
    operation: String,
    message: String,
}

impl Server {
    /// Makes the master read its configuration, and returns when it has: it started new workers, or refused. Whoever
    /// asks while another reload is under way shares the next one.
    ///
    /// The answer is that of the master, not that of a client: what a new connection gets, the marker says.
    ///
    /// # Errors
    /// `Unavailable` with nginx's own words if it kept the old configuration; as for [`master`](Self::master) if there
    /// is none; `TimedOut` if it did nothing within the deadline.
    pub async fn reload(&self) -> Result<(), BackendError> {
        let number = self.inner.reloads.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut done = self.inner.reloads.done.lock().await;
        if done.up_to < number {
            let covered = self.inner.reloads.asked.load(Ordering::SeqCst);
            let result = self.reload_now(&mut done.signals).await;
            done.refusal = result.err().map(|error| Refusal {
                kind: error.kind,
                message: error
                    .source
                    .as_ref()
                    .map_or_else(|| error.message.clone(), |source| format!("{}: {source}", error.message)),
                operation: error.operation,
            });
            done.up_to = covered;
        }
        match &done.refusal {
            None => Ok(()),
            Some(Refusal { kind, operation, message }) => Err(BackendError::new(*kind, operation, message)),
        }
    }

    /// How many reload signals this value and its clones have sent.
    pub async fn reloads(&self) -> u64 {
        self.inner.reloads.done.lock().await.signals
    }

    async fn reload_now(&self, signals: &mut u64) -> Result<(), BackendError> {
        let operation = "reload nginx";
        let limit = self.settings().reload_deadline;
        let deadline = Instant::now() + limit;
        let _lock = FileLock::take(operation, &self.paths().reload_lock(), limit).await?;
        let master = self.master().await?;
        let before: HashSet<Identity> = master.workers()?.iter().map(identity).collect();
        let log = ErrorLog::open(&master);
        master.signal(Signal::HUP)?;
        *signals += 1;
        loop {
            if master.workers()?.iter().any(|worker| !before.contains(&identity(worker))) {
                *self.inner.outdated.lock() = before;
                return Ok(());
            }
            if let Some(words) = log.as_ref().and_then(ErrorLog::emergencies) {
                let message = format!("refused, the old configuration still runs: {words}");
                return Err(BackendError::new(ErrorKind::Unavailable, operation, message));
            }
            if !master.lives() {
                return Err(BackendError::new(ErrorKind::Unavailable, operation, "the master ended"));
            }
            if Instant::now() >= deadline {
                let mut message = format!("the master started no new worker in {limit:?}");
                if let Err(refused) = self.test().await {
                    message = format!("{message}; {}", refused.message);
                }
                return Err(BackendError::new(ErrorKind::TimedOut, operation, message));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

fn identity(worker: &Worker) -> Identity {
    (worker.pid, worker.start_time)
}

/// What the master writes to its error log from now on.
#[derive(Debug)]
struct ErrorLog {
    pid: u32,
    from: u64,
}

impl ErrorLog {
    /// The master's standard error is its error log, if that is a file. `None` if it cannot be read.
    fn open(master: &Master) -> Option<Self> {
        let path = format!("/proc/{}/fd/2", master.pid());
        let metadata = std::fs::metadata(&path).ok()?;
        let file_type = metadata.file_type();
        let is_file = file_type.is_file() && !file_type.is_char_device();
        is_file.then(|| Self { pid: master.pid(), from: metadata.len() })
    }

    /// What kept the master from reloading.
    fn emergencies(&self) -> Option<String> {
        const MOST: u64 = 256 * 1024;
        // It writes a new one where its error log has another name now.
        let mut file = File::open(format!("/proc/{}/fd/2", self.pid)).ok()?;
        file.seek(SeekFrom::Start(self.from)).ok()?;
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text);
        let of_master = format!(" {}#", self.pid);
        let is_one = |line: &&str| line.contains("[emerg]") && line.contains(&of_master);
        let lines: Vec<&str> = text.lines().filter(is_one).map(without_time).collect();
        // Binding is tried five times, and complained about each time.
        let mut distinct: Vec<&str> = Vec::new();
        for line in lines {
            if !distinct.contains(&line) {
                distinct.push(line);
            }
        }
        (!distinct.is_empty()).then(|| capped(&distinct.join("\n")))
    }
}

fn without_time(line: &str) -> &str {
    line.find("[emerg]").map_or(line, |start| &line[start..])
}
