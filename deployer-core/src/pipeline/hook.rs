//! A program as a stage, or as the undo of one.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

use super::{StageContext, StageError, Work};
use crate::{
    error::Problem,
    process::{Argv, Command, Ended, Run, RunError, check_variable, run},
};

/// A backstop behind the deadline of the stage.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A program as a stage, or as the undo of one. It succeeds if it exits with 0.
///
/// It is started directly, never through a shell. It gets `PATH`, the variables that are named here, and
/// `DEPLOYER_DEPLOYMENT`, `DEPLOYER_STAGE`, `DEPLOYER_KEY` (the same in each run of the same deployment) and
/// `DEPLOYER_RESUMED` (`true` if an earlier process may have begun it); nothing else of the environment of this process.
/// At its deadline, or when a person aborts the deployment, it is killed with everything that it started. The last
/// kilobyte of what it printed is part of an error; more than 8 MiB of it is a failure.
///
/// ```
/// use deployer_core::pipeline::{Hook, Stage};
///
/// let stage = Stage::of("migrate", Hook::new("/srv/web/migrate").args(["up", "--all"]).inherit("DATABASE_URL"))
///     .undo_by(Hook::new("/srv/web/migrate").arg("down").inherit("DATABASE_URL"))
///     .repeatable();
/// # let _ = stage;
/// ```
#[derive(Debug, Clone)]
pub struct Hook {
    program: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    inherited: Vec<String>,
}

impl Hook {
    /// A program: an absolute path, or a name that is looked up in `PATH`.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            inherited: Vec::new(),
        }
    }

    /// Adds an argument. It is passed on as it is.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable. For secrets use [`inherit`](Self::inherit): values given here may be shown.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Passes a variable of this process on, if it is set.
    #[must_use]
    pub fn inherit(mut self, name: impl Into<String>) -> Self {
        self.inherited.push(name.into());
        self
    }

    fn command(&self, context: &StageContext) -> Result<Command, Vec<Problem>> {
        let mut command = Command::new(Argv::new(self.program.clone(), self.arguments.clone())?);
        command.environment.clone_from(&self.environment);
        command.inherited.clone_from(&self.inherited);
        let own = [
            ("DEPLOYER_DEPLOYMENT", context.deployment().to_string()),
            ("DEPLOYER_STAGE", context.stage().to_string()),
            ("DEPLOYER_KEY", context.key()),
            ("DEPLOYER_RESUMED", context.is_resumed().to_string()),
        ];
        command.environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
        Ok(command)
    }
}

#[async_trait]
impl Work for Hook {
    async fn run(&self, context: StageContext) -> Result<Value, StageError> {
        let command = self.command(&context).map_err(crate::error::Problems)?;
        let until = Instant::now() + LONGEST;
        let ran = tokio::select! {
            ran = run(command, until) => ran,
            () = context.asked_to_stop() => {
                return Err(StageError::new(format!("{} was killed: a person asked to stop", self.program)));
            }
        };
        match ran {
            Ok(Run { ended: Ended::Exit(status), .. }) if status.success() => Ok(Value::Null),
            Ok(Run { ended, tail }) => {
                let how = match ended {
                    Ended::Exit(status) => format!("ended with {status}"),
                    Ended::TooLate => "did not end".to_owned(),
                    Ended::Flooded => "printed too much and was killed".to_owned(),
                };
                let said = if tail.is_empty() { String::new() } else { format!("; it said: {tail}") };
                Err(StageError::new(format!("{} {how}{said}", self.program)))
            }
            Err(RunError::Start(error) | RunError::Output(error)) => {
                Err(StageError::from(error).context(format!("cannot run {}", self.program)))
            }
        }
    }

    fn describe(&self) -> String {
        let mut words = vec![format!("run {}", self.program)];
        words.extend(self.arguments.iter().map(|argument| format!("{argument:?}")));
        words.join(" ")
    }

    fn problems(&self) -> Vec<Problem> {
        let mut found = Argv::new(self.program.clone(), self.arguments.clone()).err().unwrap_or_default();
        found.extend(self.environment.iter().filter_map(|(name, value)| check_variable(name, value)));
        found.extend(self.inherited.iter().filter_map(|name| check_variable(name, "")));
        found
    }
}
