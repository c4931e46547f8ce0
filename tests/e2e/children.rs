//! Other processes that write to the same state: this program, started again.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use deployer::{
    error::DeployError,
    lock::FileLock,
    model::{DeploymentId, WorkloadId},
    ports::Lock as _,
};
use deployer_testkit::cases::say;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    processes::LIMIT,
    recipes::{Kind, app},
    stand::{Stand, WEB},
};

/// First argument of a process that deploys: directory, release and kind follow.
const DEPLOYER: &str = "__e2e_deployer";
/// First argument of a process that holds the lock until its input ends: the directory of the lock follows.
const LOCKER: &str = "__e2e_locker";

/// Exit code of a deployer that was interrupted.
pub(crate) const INTERRUPTED: u8 = 3;
/// Exit code of a deployer whose deployment was aborted.
pub(crate) const ABORTED: u8 = 4;

/// Is one of the processes below if it was started as one.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match words.as_slice() {
        [DEPLOYER, directory, release, kind] => {
            let kind = Kind::ALL.into_iter().find(|known| known.name() == *kind).unwrap();
            let stand = Stand::open(Path::new(directory));
            let result = runtime().block_on(async {
                let deployment = stand.await.deployment(WEB, &app(release), kind).build().unwrap();
                deployer::run_until_signal(&deployment).await
            });
            match result {
                Err(DeployError::Interrupted { .. }) => Some(ExitCode::from(INTERRUPTED)),
                Err(DeployError::Aborted { .. }) => Some(ExitCode::from(ABORTED)),
                other => other.map(|_| Some(ExitCode::SUCCESS)).unwrap(),
            }
        }
        [LOCKER, directory] => {
            runtime().block_on(hold_lock(Path::new(directory)));
            Some(ExitCode::SUCCESS)
        }
        _ => None,
    }
}

async fn hold_lock(directory: &Path) {
    let lock = FileLock::open(directory).unwrap();
    let (workload, deployment) = (WorkloadId::new(WEB).unwrap(), DeploymentId::new("theirs").unwrap());
    let _grant = lock.acquire(&[workload], &deployment).await.unwrap();
    say("held");
    // Until whoever started it is gone or has enough.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

/// Another process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Other {
    child: Child,
    _input: Option<ChildStdin>,
}

impl Other {
    /// One that deploys.
    pub(crate) fn deploying(directory: &Path, release: &str, kind: Kind) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg(DEPLOYER).arg(directory).args([release, kind.name()]).stdin(Stdio::null());
        Self { child: command.spawn().unwrap(), _input: None }
    }

    /// One that holds the lock.
    pub(crate) fn locking(directory: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg(LOCKER).arg(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self { _input: child.stdin.take(), child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL once `moment` has come, and so much later; whether that was before its end.
    pub(crate) fn kill_when(mut self, what: &str, moment: impl Fn() -> bool, later: Duration) -> bool {
        if !self.comes(what, moment) {
            return false;
        }
        // Simulates a crash at no particular moment.
        std::thread::sleep(later);
        self.child.kill().unwrap();
        self.child.wait().unwrap().code().is_none()
    }

    /// Sends SIGTERM twice once `moment` has come, and so much later; its exit code.
    pub(crate) fn terminate_when(
        mut self,
        what: &str,
        moment: impl Fn() -> bool,
        later: Duration,
    ) -> Option<i32> {
        if self.comes(what, moment) {
            // Simulates a signal at no particular moment.
            std::thread::sleep(later);
            let pid = Pid::from_child(&self.child);
            for _ in 0..2 {
                kill_process(pid, Signal::TERM).unwrap();
            }
        }
        self.ended()
    }

    /// Waits for its end; its exit code, or `None` if a signal killed it.
    pub(crate) fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the deployer has not ended within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for a moment; whether it came before its end.
    fn comes(&mut self, what: &str, moment: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + LIMIT;
        while !moment() {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
            std::thread::sleep(Duration::from_micros(300));
        }
        true
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
