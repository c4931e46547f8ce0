//! Processes of this host: who they are, how they are watched, and how they are signalled without ever hitting a
//! stranger that got a used number.

use std::{fs, io, os::fd::OwnedFd, os::unix::fs::MetadataExt as _};

use deployer_core::model::{InstanceId, WorkloadId};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// The variables that mark a process as ours. The values of all three name an instance of one helper directory.
pub(crate) const MARK_HOST: &str = "DEPLOYER_HOST";
pub(crate) const MARK_WORKLOAD: &str = "DEPLOYER_WORKLOAD";
pub(crate) const MARK_INSTANCE: &str = "DEPLOYER_INSTANCE";

/// One process for ever: numbers are reused, a number with a start time is not before the host restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    /// In clock ticks since the host started: field 22 of `/proc/<pid>/stat`.
    pub(crate) start_time: u64,
}

impl ProcessIdentity {
    /// Who has this number now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, start_time: Stat::read(pid)?.start_time })
    }

    /// A handle to exactly this process, if it is still there.
    pub(crate) fn open(self) -> io::Result<OwnedFd> {
        let pid = Pid::from_raw(self.pid).ok_or_else(gone)?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        // The handle belongs to whoever had the number at that moment, so look at it after opening, not before.
        let stat = Stat::read(self.pid)?;
        if stat.start_time == self.start_time && stat.state != b'Z' { Ok(handle) } else { Err(gone()) }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the process is gone")
}

/// What is used of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) start_time: u64,
}

impl Stat {
    pub(crate) fn read(pid: i32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable stat"))
    }

    /// The second field is the program's name in brackets and may hold anything, brackets and blanks included.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let start_time = fields.nth(16)?.parse().ok()?;
        Some(Self { state, parent, group, start_time })
    }
}

/// A living process that carries the marks of one helper directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MarkedProcess {
    pub(crate) identity: ProcessIdentity,
    /// It leads its process group, as the main process of an instance does.
    pub(crate) leads: bool,
    pub(crate) workload: WorkloadId,
    pub(crate) instance: InstanceId,
}

impl MarkedProcess {
    fn read(pid: i32, host: &str) -> Option<Self> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let value = |name: &str| {
            environment.split(|byte| *byte == 0).find_map(|entry| {
                let entry = std::str::from_utf8(entry).ok()?;
                entry.strip_prefix(name)?.strip_prefix('=')
            })
        };
        if value(MARK_HOST)? != host {
            return None;
        }
        let workload = WorkloadId::new(value(MARK_WORKLOAD)?).ok()?;
        let instance = InstanceId::new(value(MARK_INSTANCE)?).ok()?;
        let stat = Stat::read(pid).ok()?;
        let identity = ProcessIdentity { pid, start_time: stat.start_time };
        Some(Self { identity, leads: stat.group == pid, workload, instance })
    }

    /// Kills exactly this process.
    pub(crate) fn kill(&self) {
        if let Ok(handle) = self.identity.open() {
            let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL);
        }
    }
}

/// Every living process with the marks of this helper directory: instances, and what they started.
pub(crate) fn marked(host: &str) -> Vec<MarkedProcess> {
    let user = rustix::process::geteuid().as_raw();
    processes()
        .filter(|(_, owner)| user == 0 || *owner == user)
        .filter_map(|(pid, _)| MarkedProcess::read(pid, host))
        .collect()
}

/// Takes the exit status of children that no instance owns: what an instance left behind and the kernel gave us.
pub(crate) fn reap_strays(owned: impl Fn(i32) -> bool) {
    use rustix::process::{WaitId, WaitIdOptions, WaitOptions};
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(rustix::process::waitid(WaitId::All, peek), Ok(Some(_))) {
        return;
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    for (pid, _) in processes() {
        let is_stray =
            Stat::read(pid).is_ok_and(|stat| stat.parent == own && stat.state == b'Z') && !owned(pid);
        if is_stray {
            let _ = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
        }
    }
}

/// Numbers and owners of all processes.
fn processes() -> impl Iterator<Item = (i32, u32)> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, entry.metadata().ok()?.uid()))
    })
}

/// Changes with each start of the host: start times of before mean nothing.
pub(crate) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_program_name_is_not_a_field() {
        let text = b"42 (a) R 1 (b) S 7 43 43 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3\n";
        let stat = Stat { state: b'S', parent: 7, group: 43, start_time: 98765 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse(b"42 (a"), None);
    }

    #[test]
    fn a_reused_number_is_another_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let identity = ProcessIdentity::of(own).unwrap();
        assert!(identity.open().is_ok());
        assert!(ProcessIdentity { start_time: identity.start_time + 1, ..identity }.open().is_err());
    }
}
