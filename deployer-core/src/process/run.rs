//! One run of a program, bounded in time and output, with nothing left behind.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::Child,
    time::{Instant, timeout, timeout_at},
};

use super::{
    argv::Argv,
    output::{Output, pump},
};
use crate::ports::Secret;

/// How long to wait for what a kill brings about: the end of the program, the end of its output.
const AFTERMATH: Duration = Duration::from_millis(20);

/// What is run, and with what. The environment holds nothing but what is named here, and `PATH`.
#[derive(Debug)]
pub(crate) struct Command {
    /// The program and its arguments.
    pub(crate) argv: Argv,
    /// Variables with values that may be written down.
    pub(crate) environment: BTreeMap<String, String>,
    /// Names of variables that are passed on as this process has them.
    pub(crate) inherited: Vec<String>,
    /// Variables with values that are not. They do not come up in what is shown of the output.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// What it reads on its standard input; nothing if there is none.
    pub(crate) input: Option<File>,
    /// Where its standard output goes, every byte of it. Without one it counts as something to be shown.
    pub(crate) output: Option<File>,
}

impl Command {
    /// A command with no variable but `PATH`, no input, and an output that is shown.
    pub(crate) fn new(argv: Argv) -> Self {
        Self {
            argv,
            environment: BTreeMap::new(),
            inherited: Vec::new(),
            secrets: BTreeMap::new(),
            input: None,
            output: None,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {
    /// By itself.
    Exit(ExitStatus),
    /// Killed when the time was over.
    TooLate,
    /// Killed for what it printed: more than [`MOST_OUTPUT`](super::MOST_OUTPUT).
    Flooded,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    /// How it ended.
    pub(crate) ended: Ended,
    /// The last of what it printed to be shown.
    pub(crate) tail: String,
}

/// Why there is nothing to say about a program.
#[derive(Debug)]
pub(crate) enum RunError {
    /// It could not be started.
    Start(io::Error),
    /// What it printed could not be written to the file. It was killed.
    Output(io::Error),
}

/// Runs a program until it ends, or this moment comes, or the future is dropped. It and all that it started are then
/// dead. With a file for the output it has ended when nobody holds its output any more.
pub(crate) async fn run(command: Command, until: Instant) -> Result<Run, RunError> {
    let mut child = start(&command).map_err(RunError::Start)?;
    // Declared after the child, so that it is dropped before it: the group is killed while its number is still ours.
    let group = Group::of(&child);
    let written = pump(&mut child, command.output);
    let mut output = Output::of(&mut child, command.secrets.into_values().collect());

    let whole = async {
        let ended = async {
            has_ended(&mut child).await;
            Ok(())
        };
        tokio::try_join!(ended, written)
    };
    let ended = tokio::select! {
        biased;
        () = output.overflow() => Some(Ended::Flooded),
        whole = timeout_at(until, whole) => match whole {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => return Err(RunError::Output(error)),
            Err(_) => Some(Ended::TooLate),
        },
    };
    drop(group);
    let status = timeout(AFTERMATH, child.wait()).await;
    let ended = match (ended, status) {
        (Some(ended), _) => ended,
        (None, Ok(status)) => Ended::Exit(status.map_err(RunError::Start)?),
        (None, Err(_)) => Ended::TooLate,
    };
    // What is in the pipes already is read; a descendant that left the group may hold them open for ever.
    let _rest = timeout(AFTERMATH, output.read_all()).await;
    Ok(Run { ended, tail: output.shown() })
}

fn start(command: &Command) -> io::Result<Child> {
    let mut child = tokio::process::Command::new(command.argv.program());
    child.args(command.argv.arguments()).env_clear();
    for name in command.inherited.iter().map(String::as_str).chain(["PATH"]) {
        if let Some(value) = std::env::var_os(name) {
            child.env(name, value);
        }
    }
    child.envs(&command.environment);
    child.envs(command.secrets.iter().map(|(name, secret)| (name, secret.expose())));
    match &command.input {
        Some(file) => child.stdin(file.try_clone()?),
        None => child.stdin(Stdio::null()),
    };
    child.stdout(Stdio::piped()).stderr(Stdio::piped());
    child.process_group(0).kill_on_drop(true).spawn()
}

/// All processes of a run. They are killed when this is dropped, also with the future that waits for them.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // The only possible error is that nothing is left to be killed.
            let _gone = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Returns when the program has ended and before its number is free for others, so that the group can still be killed
/// by that number.
#[cfg(target_os = "linux")]
#[expect(deprecated, reason = "an owned descriptor stays open, and what replaces this function is unsafe")]
async fn has_ended(child: &mut Child) {
    use rustix::process::{PidfdFlags, pidfd_open};

    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let watched = pid
        .and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
        .and_then(|descriptor| tokio::io::unix::AsyncFd::new(descriptor).ok());
    match watched {
        Some(descriptor) => drop(descriptor.readable().await),
        None => drop(child.wait().await),
    }
}

/// Returns when the program has ended.
#[cfg(not(target_os = "linux"))]
async fn has_ended(child: &mut Child) {
    drop(child.wait().await);
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    fn script(text: &str) -> Command {
        Command::new(Argv::new("/bin/sh", ["-c", text]).unwrap())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    fn exit_code(run: &Run) -> i32 {
        let Ended::Exit(status) = run.ended else { panic!("{run:?}") };
        status.code().unwrap()
    }

    #[tokio::test]
    async fn input_and_output_are_files_and_the_rest_is_shown() {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(&vec![b'x'; 3_000_000]).unwrap();
        input.rewind().unwrap();
        let mut output = tempfile::tempfile().unwrap();
        let command = Command {
            input: Some(input),
            output: Some(output.try_clone().unwrap()),
            ..script("cat; echo said >&2")
        };
        let run = run(command, soon()).await.unwrap();
        assert_eq!((exit_code(&run), run.tail.as_str()), (0, "said"));
        let mut bytes = Vec::new();
        output.rewind().unwrap();
        output.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() == 3_000_000 && bytes.iter().all(|byte| *byte == b'x'));
    }

    #[tokio::test]
    async fn the_output_is_over_when_nobody_holds_it_any_more() {
        let mut output = tempfile::tempfile().unwrap();
        let command = Command {
            output: Some(output.try_clone().unwrap()),
            ..script("(sleep 0.3; echo late) & echo early; exit 0")
        };
        assert_eq!(exit_code(&run(command, soon()).await.unwrap()), 0);
        let mut text = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "early\nlate\n");
    }

    #[tokio::test]
    async fn a_full_disk_is_never_a_success() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let command = Command { output: Some(full), ..script("echo lost; exit 0") };
        let error = run(command, soon()).await.unwrap_err();
        assert!(matches!(&error, RunError::Output(error) if error.raw_os_error() == Some(28)), "{error:?}");
    }

    #[tokio::test]
    async fn secrets_reach_the_program_and_are_not_shown() {
        let secret = |value: &str| Secret::new(value);
        let secrets = [("A", secret("hunter2")), ("B", secret("hunter2-long")), ("C", secret(""))];
        let secrets = secrets.map(|(name, secret)| (name.to_owned(), secret)).into();
        let text =
            "test \"$A $B\" = 'hunter2 hunter2-long' && echo \"no $A, no $B\"; yes \"$B\" | head -c 100000";
        let run = run(Command { secrets, ..script(text) }, soon()).await.unwrap();
        assert!(run.tail.ends_with("***"), "{}", run.tail);
        for part in ["hunter", "unter", "nter2", "-long"] {
            assert!(!run.tail.contains(part), "{part} is in {}", run.tail);
        }
    }

    #[tokio::test]
    async fn variables_are_passed_on_only_by_name() {
        assert!(
            std::env::var_os("CARGO_MANIFEST_DIR").is_some() && std::env::var_os("CARGO_PKG_NAME").is_some()
        );
        let text = "test -n \"$CARGO_PKG_NAME\" && test -z \"$CARGO_MANIFEST_DIR\" && test \"$MINE\" = 1";
        let command = Command {
            inherited: vec!["CARGO_PKG_NAME".to_owned()],
            environment: [("MINE".to_owned(), "1".to_owned())].into(),
            ..script(text)
        };
        assert_eq!(exit_code(&run(command, soon()).await.unwrap()), 0);
    }
}
