//! One run of an instance: its process, held so that it can be watched and signalled.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use deployer_core::model::{InstanceId, WorkloadId};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    instance::in_words,
    process::{self, ProcessIdentity},
};

/// Which instance, anywhere.
pub(crate) type Key = (WorkloadId, InstanceId);

/// How a process came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We started it: its number is its own until we reap it, and we learn how it ended.
    Started,
    /// An earlier helper started it: when it ends its number is free at once.
    Adopted,
}

/// One run of an instance.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) identity: ProcessIdentity,
    pub(crate) began: Instant,
    origin: Origin,
    handle: Arc<OwnedFd>,
}

/// Becomes ready when a process ended.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) key: Key,
    pub(crate) identity: ProcessIdentity,
    handle: Arc<OwnedFd>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    /// For people.
    pub(crate) text: String,
    /// It ended with status 0.
    pub(crate) is_success: bool,
}

impl Run {
    pub(crate) fn new(identity: ProcessIdentity, origin: Origin, began: Instant) -> io::Result<Self> {
        let handle = match origin {
            Origin::Adopted => identity.open()?,
            // It may be dead already, which is then how this run ends.
            Origin::Started => rustix::process::pidfd_open(
                Pid::from_raw(identity.pid).ok_or(io::ErrorKind::InvalidInput)?,
                rustix::process::PidfdFlags::empty(),
            )?,
        };
        Ok(Self { identity, began, origin, handle: Arc::new(handle) })
    }

    pub(crate) fn watched(&self, key: Key) -> Watched {
        Watched { key, identity: self.identity, handle: self.handle.clone() }
    }

    /// Signals the process and its group.
    pub(crate) fn signal(&self, host: &str, key: &Key, signal: Signal) {
        match self.origin {
            Origin::Started => {
                let group = Pid::from_raw(self.identity.pid);
                let is_sent =
                    group.is_some_and(|group| rustix::process::kill_process_group(group, signal).is_ok());
                if !is_sent {
                    // It left the group that it was started in.
                    let _ = rustix::process::pidfd_send_signal(self.handle.as_fd(), signal);
                }
            }
            Origin::Adopted => {
                let _ = rustix::process::pidfd_send_signal(self.handle.as_fd(), signal);
                for other in process::marked(host) {
                    let is_ours = other.workload == key.0 && other.instance == key.1;
                    if is_ours
                        && other.identity != self.identity
                        && let Ok(handle) = other.identity.open()
                    {
                        let _ = rustix::process::pidfd_send_signal(&handle, signal);
                    }
                }
            }
        }
    }

    /// Takes the exit of a process that ended, and kills what is left of its group and of all that it started.
    pub(crate) fn finish(self, host: &str, key: &Key) -> Exit {
        let lived = self.began.elapsed();
        let status = match self.origin {
            Origin::Adopted => None,
            Origin::Started => {
                // Its group goes before it is reaped: until then nobody else can have that number.
                self.signal(host, key, Signal::KILL);
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                rustix::process::waitid(WaitId::PidFd(self.handle.as_fd()), options).ok().flatten()
            }
        };
        for left in process::marked(host) {
            if left.workload == key.0 && left.instance == key.1 {
                left.kill();
            }
        }
        Exit::new(status, lived)
    }
}

impl Watched {
    /// Returns when the process ended.
    pub(crate) async fn ended(self) -> (Key, ProcessIdentity) {
        let Self { key, identity, handle } = self;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; an owned descriptor meets what that asks for"
        )]
        let handle = AsyncFd::with_interest(handle, Interest::READABLE);
        match handle {
            Ok(handle) => {
                let _ = handle.readable().await;
            }
            // No room to watch it by event: look at it at intervals.
            Err(_) => {
                while identity.open().is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        (key, identity)
    }
}

impl Exit {
    /// Nobody was there to see it.
    pub(crate) fn unseen() -> Self {
        Self { text: "ended while no helper was running; how is not known".to_owned(), is_success: false }
    }

    fn new(status: Option<WaitIdStatus>, lived: Duration) -> Self {
        let after = in_words(lived);
        let Some(status) = status else {
            let text =
                format!("ended after {after} or more; how is not known, an earlier helper had started it");
            return Self { text, is_success: false };
        };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => {
                Self { text: format!("exited with status {code} after {after}"), is_success: code == 0 }
            }
            (_, Some(number)) => {
                let core = if status.dumped() { ", core dumped" } else { "" };
                let text = format!("was killed by {} after {after}{core}", signal_name(number));
                Self { text, is_success: false }
            }
            _ => Self { text: format!("ended after {after}"), is_success: false },
        }
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    format!("{name} (signal {number})")
}
