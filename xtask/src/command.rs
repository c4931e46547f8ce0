//! Running a program with its output in a file, so that only what matters is shown.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// How many lines of the output of a failed program are shown; all of it is in the file.
const SHOWN: usize = 400;

/// Where the workspace is and where output goes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The root of the workspace.
    pub(crate) root: PathBuf,
    /// The directory of the log files.
    pub(crate) logs: PathBuf,
}

impl Place {
    /// The workspace that this program was started from.
    pub(crate) fn find() -> io::Result<Self> {
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().unwrap_or(Path::new(".")).to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let logs = target.join("xtask");
        fs::create_dir_all(&logs)?;
        Ok(Self { root, logs })
    }

    /// Runs `cargo` with these arguments in the root of the workspace.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).env("CARGO_TERM_COLOR", "never").current_dir(&self.root);
        command
    }
}

/// How a part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It holds; a few words about what was looked at.
    Passed(String),
    /// It does not; all that is wrong.
    Failed(String),
    /// It could not be looked at here.
    Skipped(String),
}

impl Outcome {
    /// Passed if nothing is wrong.
    pub(crate) fn of(problems: &[String], looked_at: String) -> Self {
        if problems.is_empty() { Self::Passed(looked_at) } else { Self::Failed(problems.join("\n")) }
    }
}

/// Runs a program with its output in the log file of this name. Returns the output if it succeeded.
///
/// # Errors
/// What to show if it did not.
pub(crate) fn run(place: &Place, name: &str, mut command: Command) -> Result<String, Outcome> {
    let path = place.logs.join(format!("{name}.log"));
    let output = (|| {
        let log = File::create(&path)?;
        let status =
            command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log).status()?;
        io::Result::Ok((status, String::from_utf8_lossy(&fs::read(&path)?).into_owned()))
    })();
    match output {
        Ok((status, text)) if status.success() => Ok(text),
        Ok((status, text)) => Err(Outcome::Failed(format!(
            "{}\n{status}; all output is in {}",
            tail(&text, SHOWN),
            path.display()
        ))),
        Err(error) => Err(Outcome::Failed(format!("could not run {command:?}: {error}"))),
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let logs = std::env::temp_dir().join(format!("deployer-xtask-{}", std::process::id()));
        fs::create_dir_all(&logs).unwrap();
        Place { root: logs.clone(), logs }
    }

    #[test]
    fn a_failed_program_is_a_failure_with_its_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo second >&2; exit 3"]);
        match run(&place(), "failing", command) {
            Err(Outcome::Failed(text)) => {
                assert!(text.contains("first\nsecond\n") && text.contains("exit status: 3"), "{text}");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(run(&place(), "missing", Command::new("/nonexistent")), Err(Outcome::Failed(_))));
    }

    #[test]
    fn the_output_of_a_program_that_succeeds_is_returned() {
        let mut command = Command::new("echo");
        command.arg("fine");
        assert_eq!(run(&place(), "passing", command), Ok("fine\n".to_owned()));
    }

    #[test]
    fn a_tail_leaves_out_blank_lines() {
        assert_eq!(tail("a\n\nb\n\nc\n\n", 2), "b\nc");
        assert_eq!(tail("", 2), "");
    }
}
