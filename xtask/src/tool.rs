//! Programs that tests use and that a fresh machine may not have.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where nginx is, with which distributions.
const NGINX: [&str; 3] = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];

/// Installs a program from the packages of the distribution if it does not start. Where that cannot be done the tests
/// that need it say so.
pub(crate) fn install(program: &str, package: &str) {
    if !starts(program) {
        install_packages(&[package]);
    }
}

/// nginx with Lua; installed from the packages of the distribution, and not started, if it is missing.
///
/// # Errors
/// It is not there, and could not be installed.
pub(crate) fn nginx() -> Result<PathBuf, String> {
    let find = || NGINX.iter().map(PathBuf::from).find(|path| path.exists());
    let has_lua = Path::new("/usr/lib/nginx/modules/ngx_http_lua_module.so").exists();
    let packages = ["nginx", "libnginx-mod-http-lua", "lua-resty-core"];
    if find().is_none() || !has_lua {
        install_packages(&packages);
    }
    find().ok_or_else(|| {
        format!("nginx is not installed; run `apt-get install {}` as root", packages.join(" "))
    })
}

fn starts(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

fn install_packages(packages: &[&str]) {
    if !starts("apt-get") {
        return;
    }
    let install = ["install", "-y", "-q", "--no-install-recommends"];
    for arguments in [&["update", "-q"][..], &[install.as_slice(), packages].concat()] {
        let mut command = Command::new("apt-get");
        // In this run level packages do not start the services that they bring.
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
