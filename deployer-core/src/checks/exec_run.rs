//! One run of a program, bounded in time and output, with nothing left behind.

use std::{
    collections::BTreeMap,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};

use super::connect::Limit;

/// How much of the output is held in memory at most.
const MOST_KEPT: usize = 64 * 1024;

/// How much of it is shown: its end.
const SHOWN: usize = 1024;

/// How much a program may print before it is stopped.
pub(super) const MOST_OUTPUT: usize = 8 * 1024 * 1024;

/// How long to wait for what a kill brings about: the end of the program, the end of its output.
const AFTERMATH: Duration = Duration::from_millis(20);

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// By itself.
    Exit(ExitStatus),
    /// Killed when the time was over.
    TooLate,
    /// Killed for what it printed.
    Flooded,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Run {
    /// How it ended.
    pub(super) ended: Ended,
    /// The last of what it printed.
    pub(super) tail: String,
}

/// Runs a program with this environment and `PATH`.
pub(super) async fn run(
    program: &str,
    arguments: &[String],
    environment: &BTreeMap<String, String>,
    limit: Limit,
) -> io::Result<Run> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment);
    if let Some(path) = std::env::var_os("PATH").filter(|_| !environment.contains_key("PATH")) {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    // Declared after the child, so that it is dropped before it: the group is killed while its number is still ours.
    let group = Group::of(&child);
    let mut output = Output::of(&mut child);

    let ended = tokio::select! {
        biased;
        () = output.overflow() => Some(Ended::Flooded),
        ended = limit.run(has_ended(&mut child)) => if ended.is_some() { None } else { Some(Ended::TooLate) },
    };
    drop(group);
    let status = timeout(AFTERMATH, child.wait()).await;
    let ended = match (ended, status) {
        (Some(ended), _) => ended,
        (None, Ok(status)) => Ended::Exit(status?),
        (None, Err(_)) => Ended::TooLate,
    };
    // What is in the pipes already is read; a descendant that left the group may hold them open for ever.
    let _rest = timeout(AFTERMATH, output.read_all()).await;
    Ok(Run { ended, tail: output.shown() })
}

/// All processes of a run. They are killed when this is dropped, also with the future that waits for them.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // The only possible error is that nothing is left to be killed.
            let _gone = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Returns when the program has ended and before its number is free for others, so that the group can still be killed
/// by that number.
#[cfg(target_os = "linux")]
#[expect(deprecated, reason = "an owned descriptor stays open, and what replaces this function is unsafe")]
async fn has_ended(child: &mut Child) {
    use rustix::process::{PidfdFlags, pidfd_open};

    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let watched = pid
        .and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
        .and_then(|descriptor| tokio::io::unix::AsyncFd::new(descriptor).ok());
    match watched {
        Some(descriptor) => drop(descriptor.readable().await),
        None => drop(child.wait().await),
    }
}

/// Returns when the program has ended.
#[cfg(not(target_os = "linux"))]
async fn has_ended(child: &mut Child) {
    drop(child.wait().await);
}

/// What a program prints on both of its outputs, in the order in which it arrives.
struct Output {
    stdout: Option<Pipe>,
    stderr: Option<Pipe>,
    kept: Vec<u8>,
    total: usize,
}

type Pipe = Box<dyn AsyncRead + Send + Unpin>;

impl Output {
    fn of(child: &mut Child) -> Self {
        Self {
            stdout: child.stdout.take().map(|pipe| Box::new(pipe) as Pipe),
            stderr: child.stderr.take().map(|pipe| Box::new(pipe) as Pipe),
            kept: Vec::new(),
            total: 0,
        }
    }

    /// Reads for as long as the program prints; returns only if it prints too much.
    async fn overflow(&mut self) {
        self.read_all().await;
        if self.total <= MOST_OUTPUT {
            std::future::pending::<()>().await;
        }
    }

    async fn read_all(&mut self) {
        let (mut first, mut second) = ([0; 4096], [0; 4096]);
        while self.total <= MOST_OUTPUT && (self.stdout.is_some() || self.stderr.is_some()) {
            tokio::select! {
                read = next(&mut self.stdout, &mut first) => self.keep(&first[..read]),
                read = next(&mut self.stderr, &mut second) => self.keep(&second[..read]),
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len());
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > MOST_KEPT {
            // All but what could be shown, so that this is rare.
            self.kept.drain(..self.kept.len() - 4 * SHOWN);
        }
    }

    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let text = text.trim();
        let start = text.len().saturating_sub(SHOWN);
        let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text[start..].to_owned()
    }
}

/// The next bytes of a pipe; closes it at its end.
async fn next(pipe: &mut Option<Pipe>, buffer: &mut [u8]) -> usize {
    let Some(open) = pipe else { return std::future::pending().await };
    match open.read(buffer).await {
        Ok(read) if read > 0 => read,
        _ => {
            *pipe = None;
            0
        }
    }
}
