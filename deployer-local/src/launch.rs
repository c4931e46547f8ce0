//! Starting the helper, and the few words with which it says how that went.

use std::{
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use deployer_core::error::ErrorKind;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{directory::Directory, helper::Role, init, protocol::Refusal, settings::HelperProgram};

/// Names the directory; has to agree with the argument.
pub(crate) const VARIABLE: &str = "DEPLOYER_LOCAL_HELPER";

/// What instances carry in their environment.
const MARKS: [&str; 7] = [
    "DEPLOYER_HOST",
    "DEPLOYER_WORKLOAD",
    "DEPLOYER_SET",
    "DEPLOYER_INSTANCE",
    "DEPLOYER_DEPLOYMENT",
    "DEPLOYER_EPOCH",
    "PORT",
];

/// The socket answers.
pub(crate) const READY: &str = "ready";

/// Another process is the helper of this directory.
pub(crate) const BUSY: &str = "busy";

/// It could not start; the reason follows.
pub(crate) const FAILED: &str = "failed";

/// What `ps` shows; the program's path would be `/proc/self/exe`.
pub(crate) const NAME: &str = "deployer-local";

const ARGUMENT: &str = "deployer-local-helper";

/// What a start led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    /// The socket answers.
    Ready,
    /// Another process is the helper; its socket answers soon if it does not yet.
    Busy,
}

/// The arguments of a helper process.
pub(crate) fn arguments(role: Role, directory: &Path) -> [OsString; 3] {
    let role = match role {
        Role::Starter => "start",
        Role::Helper => "run",
    };
    [ARGUMENT.into(), role.into(), directory.into()]
}

/// Whether a process was started as a helper, and for which directory.
pub(crate) fn asked_for(
    arguments: impl IntoIterator<Item = OsString>,
    variable: Option<OsString>,
) -> Option<(Role, PathBuf)> {
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).take(4).collect();
    let [word, role, directory] = arguments.as_slice() else { return None };
    if word != ARGUMENT || variable.as_deref() != Some(directory) || !Path::new(directory).is_absolute() {
        return None;
    }
    let role = match role.as_encoded_bytes() {
        b"start" => Role::Starter,
        b"run" => Role::Helper,
        _ => return None,
    };
    Some((role, directory.into()))
}

/// Starts a helper and waits until it says how that went. The caller bounds the wait.
pub(crate) async fn start(program: &HelperProgram, directory: &Directory) -> Result<Started, Refusal> {
    let fail = |message: String| Refusal::new(ErrorKind::Unavailable, message);
    let (program, name): (&OsStr, _) = match program {
        // Not the path of this program: that may have been replaced since it was started.
        HelperProgram::ThisProgram if init::was_called() => {
            (OsStr::new("/proc/self/exe"), "this program".to_owned())
        }
        HelperProgram::ThisProgram => {
            let message = "this program cannot be its own helper: call deployer_local::init() as the first line of \
                           main, or name another program with HelperProgram::Binary";
            return Err(Refusal::new(ErrorKind::InvalidInput, message));
        }
        HelperProgram::Binary(path) => (path.as_os_str(), path.display().to_string()),
    };
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(directory.log());
    let log = log.map_err(|error| fail(format!("{}: {error}", directory.log().display())))?;
    let mut command = Command::new(program);
    command
        .arg0(NAME)
        .args(arguments(Role::Starter, directory.path()))
        .env(VARIABLE, directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    for mark in MARKS {
        // A deployer that is an instance itself: its helper is no part of it, and outlives it.
        command.env_remove(mark);
    }
    let mut child = command.spawn().map_err(|error| {
        Refusal::new(ErrorKind::InvalidInput, format!("helper {name} cannot be started: {error}"))
    })?;
    let output = child.stdout.take().ok_or_else(|| fail("the helper has no output".to_owned()))?;
    let mut line = String::new();
    let read = BufReader::new(output).read_line(&mut line).await;
    // The starter ends as soon as it started the helper; this takes its exit status.
    let status = child.wait().await;
    match (read, line.trim_end()) {
        (Ok(_), READY) => Ok(Started::Ready),
        (Ok(_), BUSY) => Ok(Started::Busy),
        (Ok(_), said) => {
            let reason = said.strip_prefix(FAILED).map(str::trim_start).filter(|reason| !reason.is_empty());
            let reason = reason.map_or_else(
                || {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    format!("it ended without a word ({status}); does it call deployer_local::init() first?")
                },
                str::to_owned,
            );
            Err(fail(format!("helper {name} could not start: {reason}; see {}", directory.log().display())))
        }
        (Err(error), _) => Err(fail(format!("helper {name} could not be listened to: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_started_becomes_a_helper() {
        let ask = |arguments: &[&str], variable: Option<&str>| {
            let arguments = std::iter::once(&"program").chain(arguments).map(OsString::from);
            asked_for(arguments.collect::<Vec<_>>(), variable.map(OsString::from)).map(|(role, _)| role)
        };
        assert_eq!(ask(&[ARGUMENT, "run", "/d"], Some("/d")), Some(Role::Helper));
        assert_eq!(ask(&[ARGUMENT, "start", "/d"], Some("/d")), Some(Role::Starter));
        assert_eq!(ask(&[ARGUMENT, "run", "/d"], None), None);
        assert_eq!(ask(&[ARGUMENT, "run", "/d"], Some("/other")), None);
        assert_eq!(ask(&[ARGUMENT, "run", "d"], Some("d")), None);
        assert_eq!(ask(&[ARGUMENT, "run"], Some("/d")), None);
        assert_eq!(ask(&[ARGUMENT, "run", "/d", "more"], Some("/d")), None);
        assert_eq!(ask(&[ARGUMENT, "stop", "/d"], Some("/d")), None);
        assert_eq!(ask(&[], Some("/d")), None);
    }
}
