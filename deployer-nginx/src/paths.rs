//! What is where in the router's directory.

use std::path::{Path, PathBuf};

use deployer_core::model::WorkloadId;

/// What is where in the router's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    directory: PathBuf,
}

impl Paths {
    /// Below this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the configuration includes in `http {}`, once.
    pub fn http(&self) -> PathBuf {
        self.directory.join("http.conf")
    }

    /// What the configuration includes in the `location` of a workload.
    pub fn location(&self, workload: &WorkloadId) -> PathBuf {
        self.directory.join("locations").join(format!("{workload}.conf"))
    }

    /// Where the files are that a switch by reload replaces.
    pub fn workloads(&self) -> PathBuf {
        self.directory.join("workloads")
    }

    /// The one file that a switch by reload replaces.
    pub fn workload(&self, workload: &WorkloadId) -> PathBuf {
        self.workloads().join(format!("{workload}.conf"))
    }

    /// The file before the present one.
    pub fn previous(&self, workload: &WorkloadId) -> PathBuf {
        self.directory.join("previous").join(format!("{workload}.conf"))
    }

    /// The last file that nginx refused.
    pub fn refused(&self, workload: &WorkloadId) -> PathBuf {
        self.directory.join("refused").join(format!("{workload}.conf"))
    }

    /// What answers which generation of a workload runs.
    pub fn marker(&self, workload: &WorkloadId) -> PathBuf {
        self.directory.join("markers").join(format!("{workload}.conf"))
    }

    /// What the live router remembers of a workload.
    pub fn state(&self, workload: &WorkloadId) -> PathBuf {
        self.directory.join("state").join(format!("{workload}.live"))
    }

    /// While this is there clients are told to close their connections.
    pub(crate) fn closing(&self) -> PathBuf {
        self.directory.join("closing")
    }

    /// Where Lua code is.
    pub fn lua(&self) -> PathBuf {
        self.directory.join("lua")
    }

    /// The directory of the socket and of the locks, for the owner alone.
    pub fn run(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// The socket that the control server listens on.
    pub fn control_socket(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// The lock of whoever changes a workload.
    pub(crate) fn workload_lock(&self, workload: &WorkloadId) -> PathBuf {
        self.run().join("locks").join(format!("{workload}.lock"))
    }

    /// The lock of whoever reloads.
    pub(crate) fn reload_lock(&self) -> PathBuf {
        self.run().join("reload.lock")
    }

    /// Where candidates are tested, each test in a directory of its own.
    pub(crate) fn staging(&self) -> PathBuf {
        self.directory.join("staging")
    }

    /// All directories, the first one first.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let below = [
            "workloads",
            "locations",
            "markers",
            "previous",
            "refused",
            "staging",
            "state",
            "lua",
            "run",
            "run/locks",
        ];
        std::iter::once(self.directory.clone()).chain(below.map(|name| self.directory.join(name))).collect()
    }
}
