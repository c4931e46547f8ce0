//! Processes of this machine as the kernel lists them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};

/// One instance as its process itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) workload: String,
    pub(crate) set: String,
    pub(crate) instance: String,
    pub(crate) deployment: String,
    pub(crate) epoch: u64,
    pub(crate) pid: u32,
}

/// All living processes with the mark of the helper of this directory.
pub(crate) fn marked(directory: &Path) -> Vec<Marked> {
    let Some(mark) = mark(directory) else { return Vec::new() };
    let processes = all("environ").filter(|(_, variables)| variables.contains(&mark));
    let found = processes.filter_map(|(pid, variables)| {
        let value =
            |name: &str| variables.iter().find_map(|variable| variable.strip_prefix(name)).map(str::to_owned);
        Some(Marked {
            workload: value("DEPLOYER_WORKLOAD=")?,
            set: value("DEPLOYER_SET=")?,
            instance: value("DEPLOYER_INSTANCE=")?,
            deployment: value("DEPLOYER_DEPLOYMENT=")?,
            epoch: value("DEPLOYER_EPOCH=")?.parse().ok()?,
            pid,
        })
    });
    found.collect()
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

/// Sends SIGKILL to a process that this test started, by its helper.
pub(crate) fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, Signal::KILL);
}

/// Ends helper and instances of a directory when dropped, however the test ended.
#[derive(Debug)]
pub(crate) struct Leftovers(pub(crate) PathBuf);

impl Drop for Leftovers {
    fn drop(&mut self) {
        let is_ours = |words: &[String]| {
            words.get(1).is_some_and(|word| word == "deployer-local-helper")
                && words.get(3).is_some_and(|place| Path::new(place) == self.0)
        };
        // The helper first: it would start the instances again.
        all("cmdline").filter(|(_, words)| is_ours(words)).for_each(|(pid, _)| kill(pid));
        for marked in marked(&self.0) {
            kill(marked.pid);
        }
    }
}
