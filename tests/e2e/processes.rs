//! Processes of this machine as the kernel lists them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// One instance as its process itself says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Marked {
    pub(crate) workload: String,
    pub(crate) set: String,
    pub(crate) instance: String,
    pub(crate) pid: u32,
}

/// All living processes with the mark of the helper of this directory.
pub(crate) fn marked(directory: &Path) -> Vec<Marked> {
    let Some(mark) = mark(directory) else { return Vec::new() };
    let processes = all("environ").filter(|(_, variables)| variables.contains(&mark));
    let mut found: Vec<Marked> = processes
        .filter_map(|(pid, variables)| {
            let value = |name: &str| {
                variables.iter().find_map(|variable| variable.strip_prefix(name)).map(str::to_owned)
            };
            Some(Marked {
                workload: value("DEPLOYER_WORKLOAD=")?,
                set: value("DEPLOYER_SET=")?,
                instance: value("DEPLOYER_INSTANCE=")?,
                pid,
            })
        })
        .collect();
    found.sort();
    found
}

fn mark(directory: &Path) -> Option<String> {
    let state = fs::read_to_string(directory.join("state.json")).ok()?;
    let state: serde_json::Value = serde_json::from_str(&state).ok()?;
    Some(format!("DEPLOYER_HOST={}", state["host"].as_str()?))
}

fn all(file: &'static str) -> impl Iterator<Item = (u32, Vec<String>)> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(move |entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read(entry.path().join(file)).ok()?;
        let texts = text.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        Some((pid, texts.collect()))
    })
}

/// Sends SIGKILL to a process that this test started, directly or by its helper.
pub(crate) fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, Signal::KILL);
}

/// Helpers of a directory.
pub(crate) fn helpers(directory: &Path) -> Vec<u32> {
    let is_ours = |words: &[String]| {
        words.get(1).is_some_and(|word| word == "deployer-local-helper")
            && words.get(3).is_some_and(|place| Path::new(place) == directory)
    };
    all("cmdline").filter(|(_, words)| is_ours(words)).map(|(pid, _)| pid).collect()
}

/// Ends helper and instances of a directory when dropped, however the test ended.
#[derive(Debug)]
pub(crate) struct Leftovers(pub(crate) PathBuf);

impl Leftovers {
    /// Helpers that are still there.
    pub(crate) fn helpers(&self) -> Vec<u32> {
        helpers(&self.0)
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let deadline = Instant::now() + LIMIT;
        // The helper first: it would start the instances again.
        while !self.helpers().is_empty() && Instant::now() < deadline {
            self.helpers().into_iter().for_each(kill);
            std::thread::sleep(Duration::from_millis(2));
        }
        for marked in marked(&self.0) {
            kill(marked.pid);
        }
    }
}
