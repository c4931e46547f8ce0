//! Programs that tests use and that a fresh machine may not have.

use std::process::{Command, Stdio};

/// Installs a program from the packages of the distribution if it does not start. Where that cannot be done the tests
/// that need it say so.
pub(crate) fn install(program: &str, package: &str) {
    let starts = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    };
    if starts(program) || !starts("apt-get") {
        return;
    }
    for arguments in [&["update", "-q"][..], &["install", "-y", "-q", "--no-install-recommends", package]] {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
