//! One program of a backup, started and judged.

use std::{fs::File, path::Path};

use rustix::fs::Access;
use tokio::time::Instant;

use super::{
    command_settings::CommandBackupBuilder,
    line::{CommandLine, Values},
    room::may,
    scan::open,
    work::{Doing as _, Work},
};
use crate::{
    error::{BackendError, ErrorKind, Problem},
    ports::Result,
    process::{Command, Ended, MOST_OUTPUT, Run, RunError, run},
};

/// What a program is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Create,
    Verify,
    Restore,
    Check,
}

/// The programs of a backup, for one piece of work.
#[derive(Debug)]
pub(super) struct Programs<'a> {
    pub(super) settings: &'a CommandBackupBuilder,
    pub(super) work: &'a Work,
}

impl Programs<'_> {
    /// Runs one; nothing is done if there is none for this step.
    pub(super) async fn run(&self, step: Step, values: &Values<'_>, output: Option<File>) -> Result<()> {
        self.work.check()?;
        let Some(line) = self.line(step) else { return Ok(()) };
        let argv = line.fill(values).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            self.work.error(ErrorKind::Unsupported, problems.join("; "))
        })?;
        let mut command = Command::new(argv);
        command.environment.clone_from(&self.settings.environment);
        command.inherited.clone_from(&self.settings.inherited);
        command.output = output;
        if line.input_is_archive {
            command.input = Some(open(values.archive).doing(self.work, "open", values.archive)?);
        }
        for (name, secret) in &self.settings.secrets {
            if let Some(source) = &self.settings.secret_source {
                command.secrets.insert(name.clone(), source.resolve(secret).await?);
            }
        }
        match run(command, Instant::from_std(self.work.until())).await {
            Ok(run) => self.judge(step, line.name(), &run),
            Err(RunError::Output(error)) => Err(self.work.failed("write", values.archive, error)),
            Err(RunError::Start(error)) => {
                let message =
                    format!("{} could not be started: install it, or correct its path", line.name());
                Err(self.work.error(ErrorKind::Unsupported, message).with_source(error))
            }
        }
    }

    fn judge(&self, step: Step, program: &str, run: &Run) -> Result<()> {
        let said = if run.tail.is_empty() { String::new() } else { format!(": {:?}", run.tail) };
        let error = |kind, message: String| -> Result<()> { Err(self.work.error(kind, message)) };
        match run.ended {
            Ended::Exit(status) if status.success() => Ok(()),
            // These two say what the archive is; the others say only that they did not manage.
            Ended::Exit(status) if matches!(step, Step::Verify | Step::Check) => {
                error(ErrorKind::InvalidInput, format!("{program} found it bad, with {status}{said}"))
            }
            Ended::Exit(status) => {
                error(ErrorKind::Unexpected, format!("{program} ended with {status}{said}"))
            }
            Ended::TooLate => {
                let message = format!("{program} did not end in time, so it was killed: allow more{said}");
                error(ErrorKind::TimedOut, message)
            }
            Ended::Flooded => {
                let message = format!("{program} printed more than {MOST_OUTPUT} bytes of messages{said}");
                error(ErrorKind::Unexpected, message)
            }
        }
    }

    /// The programs that are not there.
    pub(super) fn missing(&self) -> Vec<Problem> {
        let steps = [
            (Step::Create, "create"),
            (Step::Verify, "verify"),
            (Step::Restore, "restore"),
            (Step::Check, "check"),
        ];
        let missing = |(step, at)| {
            let line = self.line(step)?;
            let message = format!("there is no program {}: install it, or correct its path", line.name());
            (!is_there(line.name())).then(|| Problem::new(at, message))
        };
        steps.into_iter().filter_map(missing).collect()
    }

    /// The secrets that cannot be had.
    pub(super) async fn unresolved(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, secret) in &self.settings.secrets {
            let resolved = match &self.settings.secret_source {
                Some(source) => source.resolve(secret).await.map(drop),
                None => Ok(()),
            };
            if let Err(error) = resolved {
                problems.push(Problem::new(format!("secrets.{name}"), BackendError::report(&error)));
            }
        }
        problems
    }

    fn line(&self, step: Step) -> Option<&CommandLine> {
        let line = match step {
            Step::Create => &self.settings.create,
            Step::Verify => &self.settings.verify,
            Step::Restore => &self.settings.restore,
            Step::Check => &self.settings.check,
        };
        line.as_ref()
    }
}

fn is_there(program: &str) -> bool {
    let runs = |path: &Path| path.is_file() && may(path, Access::EXEC_OK);
    if program.starts_with('/') {
        return runs(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| runs(&directory.join(program)))
}
