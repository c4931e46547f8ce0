//! What an nginx of one's own is like.

use std::path::PathBuf;

use crate::settings::NginxSettings;

/// What an nginx of one's own is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSettings {
    /// The folder of everything: configuration, logs, pid file, temporary files. It is made if it is not there.
    pub directory: PathBuf,
    /// How many workers. Default 2.
    pub worker_processes: u16,
    /// Connections per worker. Default 1024.
    pub worker_connections: u32,
    /// How long workers of an old configuration may end what they have begun, in whole seconds; 0 for ever. Default 0.
    pub worker_shutdown_timeout_seconds: u32,
    /// Whether the Lua module is loaded where it is installed. Default true.
    pub lua: bool,
    /// Whether answers are written to `outcomes.log` in the folder, for
    /// [`AccessLogMetrics`](crate::metrics::AccessLogMetrics). Default false.
    pub outcomes_log: bool,
    /// How to route. The paths in it are replaced by those of the folder; only the executable counts.
    pub nginx: NginxSettings,
}

impl OwnSettings {
    pub(super) fn outcomes_log_path(&self) -> PathBuf {
        self.directory.join("outcomes.log")
    }

    /// In this folder, everything else by default.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            worker_processes: 2,
            worker_connections: 1024,
            worker_shutdown_timeout_seconds: 0,
            lua: true,
            outcomes_log: false,
            nginx: NginxSettings::default(),
        }
    }
}
