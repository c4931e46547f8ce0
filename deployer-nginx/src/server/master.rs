//! Which process is the master, and what its workers do.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, SystemTime},
};

use deployer_core::error::{BackendError, ErrorKind};
use rustix::process::Signal;

use super::process::{self, Stat};
use crate::{error, settings::NginxSettings};

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkerState {
    /// It takes new connections.
    Serving,
    /// It only ends what it has begun.
    ShuttingDown,
}

/// One worker of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Its process number.
    pub pid: u32,
    /// When it was started, in clock ticks since the host started.
    pub start_time: u64,
    /// What it does.
    pub state: WorkerState,
}

impl Worker {
    /// How long ago it was started, to some 10 ms.
    pub fn age(&self) -> Duration {
        process::age(self.start_time)
    }
}

/// The master process of an nginx: known by its executable, its title and its start, not by its number alone.
#[derive(Debug)]
pub struct Master {
    pid: u32,
    start_time: u64,
    handle: OwnedFd,
}

impl Master {
    /// Finds it by the pid file.
    ///
    /// # Errors
    /// `Unavailable` if nginx does not run, `Conflict` if the number in the pid file belongs to another process by
    /// now, `PermissionDenied` if this user may not look at it.
    pub(crate) fn find(settings: &NginxSettings) -> Result<Self, BackendError> {
        let operation = format!("find the master of nginx by {}", settings.pid_file.display());
        let pid = read_pid(&operation, &settings.pid_file)?;
        let dead = || {
            let message = format!("process {pid} is gone: nginx does not run; start it");
            BackendError::new(ErrorKind::Unavailable, &operation, message)
        };
        let stranger = |why: String| {
            let message = format!(
                "process {pid} is not that nginx: {why}; the file is a left-over, nginx does not run. Start it"
            );
            BackendError::new(ErrorKind::Conflict, &operation, message)
        };
        // The handle comes first: whatever is found out afterwards is about the process it holds.
        let handle = process::handle(pid).map_err(|_| dead())?;
        let stat = Stat::read(pid).map_err(|_| dead())?;
        if !stat.lives() {
            return Err(dead());
        }
        let executable = process::executable(pid).map_err(|failed| match failed.kind() {
            io::ErrorKind::PermissionDenied => {
                let message = format!("process {pid} belongs to another user; run as that user or as root");
                BackendError::new(ErrorKind::PermissionDenied, &operation, message).with_source(failed)
            }
            _ => dead(),
        })?;
        let wanted = fs::canonicalize(&settings.executable).unwrap_or_else(|_| settings.executable.clone());
        if executable != wanted {
            return Err(stranger(format!("it runs {}, not {}", executable.display(), wanted.display())));
        }
        let title = process::title(pid).map_err(|_| dead())?;
        if !title.starts_with("nginx: master process") {
            return Err(stranger(format!("its title is {title:?}, not that of a master")));
        }
        Ok(Self { pid, start_time: stat.start_time, handle })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it was started, in clock ticks since the host started. With the number it names the process for ever.
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Its workers, in the order of their start.
    ///
    /// # Errors
    /// The master is gone.
    pub fn workers(&self) -> Result<Vec<Worker>, BackendError> {
        let children = process::children(self.pid)
            .map_err(|failed| error::file("list the workers of nginx", Path::new("/proc"), failed))?;
        let mut workers: Vec<_> = children.into_iter().filter_map(worker).collect();
        workers.sort_by_key(|worker| (worker.start_time, worker.pid));
        Ok(workers)
    }

    /// Whether it still runs.
    pub fn lives(&self) -> bool {
        Stat::read(self.pid).is_ok_and(|stat| stat.lives() && stat.start_time == self.start_time)
    }

    /// Whether it was started after its pid file was written, and so cannot have written it. Clocks may be a little
    /// apart.
    pub(crate) fn is_younger_than(&self, pid_file: &Path) -> bool {
        const SLACK: Duration = Duration::from_secs(2);
        let written = fs::metadata(pid_file).and_then(|metadata| metadata.modified());
        let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age > process::age(self.start_time) + SLACK)
    }

    /// Sends it a signal; never another process.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), BackendError> {
        rustix::process::pidfd_send_signal(&self.handle, signal).map_err(|failed| {
            let operation = format!("signal master {} of nginx", self.pid);
            match failed {
                rustix::io::Errno::PERM => {
                    let message = "this user may not signal it; run as its user or as root";
                    BackendError::new(ErrorKind::PermissionDenied, operation, message)
                }
                _ => BackendError::new(ErrorKind::Unavailable, operation, "it is gone")
                    .with_source(io::Error::from(failed)),
            }
        })
    }
}

/// A worker that takes connections; others (cache manager, cache loader) are not of interest.
fn worker(pid: u32) -> Option<Worker> {
    let stat = Stat::read(pid).ok().filter(|stat| stat.lives())?;
    let title = process::title(pid).ok()?;
    let rest = title.strip_prefix("nginx: worker process")?;
    let state = if rest.contains("shutting down") { WorkerState::ShuttingDown } else { WorkerState::Serving };
    Some(Worker { pid, start_time: stat.start_time, state })
}

fn read_pid(operation: &str, path: &Path) -> Result<u32, BackendError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|failed| match failed.kind() {
        io::ErrorKind::NotFound => {
            let message =
                format!("{shown} does not exist: nginx does not run; start it, or name its pid file");
            BackendError::new(ErrorKind::Unavailable, operation, message)
        }
        _ => error::file(operation, path, failed),
    })?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
    pid.ok_or_else(|| {
        let message = format!("{shown} holds no process number: nginx does not run, or is just starting");
        BackendError::new(ErrorKind::Unavailable, operation, message)
    })
}
