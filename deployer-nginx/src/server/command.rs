//! Running the nginx executable for an answer.

use std::{ffi::OsStr, io, path::Path, process::Stdio, time::Duration};

use deployer_core::error::{BackendError, ErrorKind};
use tokio::{process::Command, time::timeout};

/// What a run of nginx left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) standard: String,
    pub(crate) errors: String,
}

/// Runs nginx with these arguments until it ends; it is killed when this is dropped or the time is over.
pub(crate) async fn run(
    operation: &str,
    executable: &Path,
    arguments: &[&OsStr],
    limit: Duration,
) -> Result<Output, BackendError> {
    let mut command = Command::new(executable);
    command.args(arguments).env_remove("NGINX").stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(limit, command.output()).await.map_err(|_| {
        let message = format!("{} did not end in {limit:?}", executable.display());
        BackendError::new(ErrorKind::TimedOut, operation, message)
    })?;
    let output = output.map_err(|error| {
        let (kind, way_out) = match error.kind() {
            io::ErrorKind::NotFound => (ErrorKind::NotFound, "install nginx, or name its executable"),
            io::ErrorKind::PermissionDenied => (ErrorKind::PermissionDenied, "this user may not run it"),
            _ => (ErrorKind::Unexpected, "it could not be started"),
        };
        BackendError::new(kind, operation, format!("{}: {way_out}", executable.display())).with_source(error)
    })?;
    Ok(Output {
        success: output.status.success(),
        standard: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
