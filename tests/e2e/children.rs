//! Other processes that write to the same state: this program, started again.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
};

use deployer::{
    lock::FileLock,
    model::{DeploymentId, WorkloadId},
    ports::Lock as _,
};
use deployer_testkit::cases::say;

use crate::stand::WEB;

/// First argument of a process that holds the lock until its input ends: the directory of the lock follows.
const LOCKER: &str = "__e2e_locker";

/// Is one of the processes below if it was started as one.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match words.as_slice() {
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
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
