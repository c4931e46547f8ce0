//! What is used of `/proc`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags};

/// What is used of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: u32,
    /// In clock ticks since the host started.
    pub(crate) start_time: u64,
}

impl Stat {
    pub(crate) fn read(pid: u32) -> io::Result<Self> {
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
        let start_time = fields.nth(17)?.parse().ok()?;
        Some(Self { state, parent, start_time })
    }

    /// A zombie has a number and nothing else.
    pub(crate) fn lives(self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// How long ago something started, in clock ticks since the host started.
pub(crate) fn age(start_time: u64) -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let started = Duration::from_millis(start_time.saturating_mul(1000) / ticks);
    Duration::new(seconds, nanoseconds).saturating_sub(started)
}

/// The title of a process: nginx writes into it what the process is.
pub(crate) fn title(pid: u32) -> io::Result<String> {
    let text = fs::read(format!("/proc/{pid}/cmdline"))?;
    let text = String::from_utf8_lossy(&text).replace('\0', " ");
    Ok(text.trim().to_owned())
}

/// The executable of a process, also if its file was replaced since.
pub(crate) fn executable(pid: u32) -> io::Result<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe"))?;
    let text = path.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

/// The living children of a process.
pub(crate) fn children(pid: u32) -> io::Result<Vec<u32>> {
    if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        return Ok(text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect());
    }
    // Not every kernel is built with that file.
    let is_child = |candidate: &u32| Stat::read(*candidate).is_ok_and(|stat| stat.parent == pid);
    Ok(all()?.into_iter().filter(is_child).collect())
}

/// The inodes of the sockets that a process has.
pub(crate) fn sockets(pid: u32) -> io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let text = target.to_string_lossy();
        let inode = text.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    Ok(inodes)
}

/// The inodes of the sockets that are bound to a path.
pub(crate) fn bound_to(path: &Path) -> io::Result<Vec<u64>> {
    let text = fs::read_to_string("/proc/net/unix")?;
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(6);
        let inode = fields.next()?.parse().ok()?;
        (fields.next()? == path.as_os_str()).then_some(inode)
    };
    Ok(text.lines().filter_map(row).collect())
}

/// The numbers of all processes.
pub(crate) fn all() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// A handle that never means another process than the one it was opened for.
pub(crate) fn handle(pid: u32) -> io::Result<std::os::fd::OwnedFd> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(rustix::process::pidfd_open(number, PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found() {
        let own = std::process::id();
        let stat = Stat::read(own).unwrap();
        assert!(stat.lives() && stat.start_time > 0);
        assert!(age(stat.start_time) < Duration::from_secs(3600), "{:?}", age(stat.start_time));
        assert_eq!(executable(own).unwrap(), std::env::current_exe().unwrap());
        assert!(all().unwrap().contains(&own));
    }

    #[test]
    fn a_name_with_brackets_confuses_nobody() {
        let text = b"12 (a) Z (b) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 1 1";
        assert_eq!(Stat::parse(text), Some(Stat { state: b'S', parent: 7, start_time: 777 }));
    }
}
