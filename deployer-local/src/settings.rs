//! Where the helper keeps its things and which program it is.

use std::{path::PathBuf, time::Duration};

/// Which program is started as the helper.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HelperProgram {
    /// This one, once more. Needs [`init`](crate::init) as the first line of `main`. The default.
    #[default]
    ThisProgram,
    /// Another program that calls [`init`](crate::init) first, such as `deployer-local-helper` of this crate.
    Binary(PathBuf),
}

/// Where the helper keeps its things and which program it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalSettings {
    /// A directory of the helper's own, on a local file system, made with mode 0700 if it is not there: `socket`,
    /// `state.json`, `lock`, `helper.log`, `logs/`, and `pinned/` with a copy of each executable. One directory is
    /// one helper. Its path may have at most 100 bytes, as a socket's path may have 107.
    pub directory: PathBuf,
    /// Which program is started as the helper if none runs.
    pub helper: HelperProgram,
    /// How long the helper may take until it answers. Default 10 s.
    pub start_limit: Duration,
}

impl LocalSettings {
    /// The defaults with this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            helper: HelperProgram::default(),
            start_limit: Duration::from_secs(10),
        }
    }

    /// With this program as the helper.
    #[must_use]
    pub fn helper(mut self, helper: HelperProgram) -> Self {
        self.helper = helper;
        self
    }

    /// With this limit for the start of the helper.
    #[must_use]
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }
}
