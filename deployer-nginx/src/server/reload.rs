//! Reloads: one at a time, and one for all who asked meanwhile.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileTypeExt as _,
    path::PathBuf,
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
    master::{Master, Worker, WorkerState},
};
use crate::error::capped;

/// After it has started new workers the master sleeps before it ends the old ones. A signal would wait as long; so who
/// asks meanwhile may as well share the next one.
const MASTER_SLEEPS: Duration = Duration::from_millis(100);

const OPERATION: &str = "reload nginx";

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
    /// When the master last acted.
    acted: Option<Instant>,
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
            if let Some(acted) = done.acted {
                sleep(MASTER_SLEEPS.saturating_sub(acted.elapsed())).await;
            }
            let begun = self.begin_reload().await;
            // Not before: others may have come meanwhile, and share this one.
            let covered = self.inner.reloads.asked.load(Ordering::SeqCst);
            let result = match begun {
                Ok(begun) => self.reload_now(begun, &mut done.signals).await,
                Err(error) => Err(error),
            };
            done.refusal = result.err().map(|error| Refusal {
                kind: error.kind,
                message: error
                    .source
                    .as_ref()
                    .map_or_else(|| error.message.clone(), |source| format!("{}: {source}", error.message)),
                operation: error.operation,
            });
            done.up_to = covered;
            done.acted = Some(Instant::now());
        }
        match &done.refusal {
            None => Ok(()),
            Some(Refusal { kind, operation, message }) => Err(BackendError::new(*kind, operation, message)),
        }
    }

    /// Ends what a deployer left that was killed while it told clients to close their connections.
    pub(crate) fn end_closing(&self) {
        let flag = self.paths().closing();
        if flag.exists() && matches!(FileLock::try_take(OPERATION, &self.paths().reload_lock()), Ok(Some(_)))
        {
            drop(Closing { flag });
        }
    }

    /// How many reload signals this value and its clones have sent.
    pub async fn reloads(&self) -> u64 {
        self.inner.reloads.done.lock().await.signals
    }

    /// Takes the lock of all who reload this nginx, tells clients to close their connections, if that is wanted, and gives
    /// them the time to do it.
    async fn begin_reload(&self) -> Result<(FileLock, Option<Closing>), BackendError> {
        let limit = self.settings().reload_deadline;
        let lock = FileLock::take(OPERATION, &self.paths().reload_lock(), limit).await?;
        let time = self.settings().closing_time;
        if time.is_zero() {
            return Ok((lock, None));
        }
        let flag = self.paths().closing();
        // It is a help, so a failure is none.
        let closing = fs::write(&flag, "").ok().map(|()| Closing { flag });
        if closing.is_some() {
            sleep(time).await;
        }
        Ok((lock, closing))
    }

    async fn reload_now(
        &self,
        (_lock, closing): (FileLock, Option<Closing>),
        signals: &mut u64,
    ) -> Result<(), BackendError> {
        let limit = self.settings().reload_deadline;
        let deadline = Instant::now() + limit;
        let master = self.master().await?;
        let before: HashSet<Identity> = master.workers()?.iter().map(identity).collect();
        let log = ErrorLog::open(&master);
        master.signal(Signal::HUP)?;
        *signals += 1;
        loop {
            if master.workers()?.iter().any(|worker| !before.contains(&identity(worker))) {
                if closing.is_some() {
                    until_old_ones_end(&master, &before).await?;
                }
                *self.inner.outdated.lock() = before;
                return Ok(());
            }
            if let Some(words) = log.as_ref().and_then(ErrorLog::emergencies) {
                let message = format!("refused, the old configuration still runs: {words}");
                return Err(BackendError::new(ErrorKind::Unavailable, OPERATION, message));
            }
            if !master.lives() {
                return Err(BackendError::new(ErrorKind::Unavailable, OPERATION, "the master ended"));
            }
            if Instant::now() >= deadline {
                let mut message = format!("the master started no new worker in {limit:?}");
                if let Err(refused) = self.test().await {
                    message = format!("{message}; {}", refused.message);
                }
                return Err(BackendError::new(ErrorKind::TimedOut, OPERATION, message));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Clients are told to close their connections for as long as this is kept.
#[derive(Debug)]
struct Closing {
    flag: PathBuf,
}

impl Drop for Closing {
    fn drop(&mut self) {
        // One that is left costs clients a connection per request until somebody looks.
        let _ = fs::remove_file(&self.flag);
    }
}

/// Waits until no worker of before takes new connections, which happens some 100 ms after new ones were started.
async fn until_old_ones_end(master: &Master, before: &HashSet<Identity>) -> Result<(), BackendError> {
    let deadline = Instant::now() + MASTER_SLEEPS * 10;
    let accepts =
        |worker: &Worker| worker.state == WorkerState::Serving && before.contains(&identity(worker));
    while master.workers()?.iter().any(accepts) && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
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

    /// What kept the master from reloading, once it has given up.
    fn emergencies(&self) -> Option<String> {
        const MOST: u64 = 256 * 1024;
        // It writes a new one where its error log was rotated.
        let mut file = File::open(format!("/proc/{}/fd/2", self.pid)).ok()?;
        let from = if file.metadata().ok()?.len() < self.from { 0 } else { self.from };
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text).ok()?;
        given_up(&String::from_utf8_lossy(&text), self.pid)
    }
}

/// What a master says for the last time. It tries to bind a socket again and again, and complains about each.
fn given_up(log: &str, pid: u32) -> Option<String> {
    let of_master = format!(" {pid}#");
    let mut lines: Vec<&str> = Vec::new();
    for line in log.lines().filter(|line| line.contains(&of_master)) {
        let Some(start) = line.find("[emerg]") else { continue };
        if !lines.contains(&&line[start..]) {
            lines.push(&line[start..]);
        }
    }
    let is_last = lines.iter().any(|line| !line.contains(": bind() to "));
    is_last.then(|| capped(&lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_still_tries_has_not_given_up() {
        let bind =
            "2026/01/01 10:00:00 [emerg] 7#7: bind() to 127.0.0.1:80 failed (98: Address already in use)\n";
        let last = "2026/01/01 10:00:02 [emerg] 7#7: still could not bind()\n";
        assert_eq!(given_up(&bind.repeat(3), 7), None);
        let words = given_up(&format!("{}{last}", bind.repeat(5)), 7).unwrap();
        assert!(words.contains("bind() to 127.0.0.1:80") && words.contains("still could not"), "{words}");
        assert_eq!(words.matches("bind() to").count(), 1);
        assert_eq!(given_up(&format!("{bind}{last}"), 8), None, "another process");
        assert_eq!(given_up("2026/01/01 10:00:00 [alert] 7#7: worker exited", 7), None);
    }
}
