//! The configuration of an nginx of one's own.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use deployer_core::model::WorkloadId;

use super::settings::OwnSettings;
use crate::{
    metrics::{LOG_FORMAT, LOG_FORMAT_NAME},
    paths::Paths,
};

/// The main configuration. All that nginx would write elsewhere is in the folder.
pub(super) fn main(settings: &OwnSettings, paths: &Paths, modules: &[PathBuf]) -> String {
    let folder = settings.directory.display();
    let mut text = String::new();
    for module in modules {
        let _ = writeln!(text, "load_module {};", module.display());
    }
    // Workers of root become another user, who could not write below a folder of root's.
    if rustix::process::geteuid().is_root() {
        text.push_str("user root;\n");
    }
    let _ = write!(
        text,
        "daemon off;\nmaster_process on;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log notice;\n\
         worker_processes {};\n",
        settings.worker_processes
    );
    if settings.worker_shutdown_timeout_seconds > 0 {
        let _ = writeln!(text, "worker_shutdown_timeout {}s;", settings.worker_shutdown_timeout_seconds);
    }
    let _ = write!(
        text,
        "events {{\n    worker_connections {};\n}}\nhttp {{\n    access_log off;\n    default_type text/plain;\n",
        settings.worker_connections
    );
    if settings.outcomes_log {
        let _ = write!(text, "    {LOG_FORMAT}");
    }
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "    {name}_temp_path {folder}/temp/{name};");
    }
    let _ = write!(
        text,
        "    include {};\n    include {folder}/http.d/*.conf;\n    include {folder}/sites/*.conf;\n}}\n",
        paths.http().display()
    );
    text
}

/// The server of one workload.
pub(super) fn site(
    settings: &OwnSettings,
    workload: &WorkloadId,
    listen: SocketAddr,
    location: &Path,
) -> String {
    let log = if settings.outcomes_log {
        format!("    access_log {} {LOG_FORMAT_NAME};\n", settings.outcomes_log_path().display())
    } else {
        String::new()
    };
    format!(
        "server {{\n    listen {listen};\n    server_name {workload};\n{log}    location / {{\n        \
         include {};\n    }}\n}}\n",
        location.display()
    )
}
