//! A program that says whether an instance works.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    connect::{Limit, failed, unknown},
    expect::quoted,
};
use crate::{
    error::Problem,
    model::Instance,
    ports::{CallContext, HealthCheck},
    process::{Argv, Command, Ended, MOST_OUTPUT, Run, RunError, check_variable, run},
    strategy::Probe,
};

/// The exit code that means "could not find out": `EX_TEMPFAIL` of `sysexits.h`.
const COULD_NOT_FIND_OUT: i32 = 75;

/// Which program to run and how. Read from settings files; [`ExecCheck::new`] validates it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecSettings {
    /// The program: an absolute path, or a name that is looked up in `PATH`.
    pub program: String,
    /// Its arguments, passed on as they are. There is no shell.
    pub arguments: Vec<String>,
    /// Environment variables on top of those about the instance. Not for secrets: settings are written down.
    pub environment: BTreeMap<String, String>,
}

impl fmt::Debug for ExecSettings {
    /// Without the values of environment variables: people put tokens there all the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSettings")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("environment", &self.environment.keys())
            .finish()
    }
}

/// Puts an [`ExecCheck`] together; made by [`ExecCheck::program`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ExecCheckBuilder {
    settings: ExecSettings,
}

impl ExecCheckBuilder {
    /// One more argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.settings.arguments.push(argument.into());
        self
    }

    /// One more environment variable. Not for secrets: settings are written down.
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.environment.insert(name.into(), value.into());
        self
    }

    /// The check.
    ///
    /// # Errors
    /// All that is wrong with the settings, at once.
    pub fn build(self) -> Result<ExecCheck, Vec<Problem>> {
        ExecCheck::new(self.settings)
    }
}

/// Runs a program on this host, once for each probe.
///
/// Exit code 0 is ok, 75 (`EX_TEMPFAIL`) is unknown, every other end is a failure; so is a program that does not end in
/// time, or prints more than 8 MiB. It gets an environment of its own: `PATH`, what the settings say, and `WORKLOAD`,
/// `INSTANCE_ID`, `INSTANCE_PLACE`, `INSTANCE_DIGEST` and, where the instance has an address, `INSTANCE_ADDRESS`,
/// `INSTANCE_HOST` and `INSTANCE_PORT`. It and all that it starts run in a process group of their own, which is killed
/// when the probe is over, however it ends. The last of what it printed is part of the verdict.
///
/// ```
/// use deployer_core::checks::ExecCheck;
///
/// let check = ExecCheck::program("pg_isready").argument("--quiet").build();
/// assert!(check.is_ok());
/// assert!(ExecCheck::program("./check.sh").build().is_err(), "depends on the working directory");
/// ```
#[derive(Debug, Clone)]
pub struct ExecCheck {
    settings: ExecSettings,
    argv: Argv,
}

impl ExecCheck {
    /// A check that runs this program.
    pub fn program(program: impl Into<String>) -> ExecCheckBuilder {
        let settings = ExecSettings { program: program.into(), ..ExecSettings::default() };
        ExecCheckBuilder { settings }
    }

    /// A check with these settings.
    ///
    /// # Errors
    /// All that is wrong with the settings, at once.
    pub fn new(settings: ExecSettings) -> Result<Self, Vec<Problem>> {
        let argv = Argv::new(&settings.program, &settings.arguments);
        let mut problems = argv.as_ref().err().cloned().unwrap_or_default();
        for (name, value) in &settings.environment {
            problems.extend(check_variable(name, value).or_else(|| check_name(name)));
        }
        match argv {
            Ok(argv) if problems.is_empty() => Ok(Self { settings, argv }),
            _ => Err(problems),
        }
    }

    fn environment(&self, context: &CallContext, instance: &Instance) -> BTreeMap<String, String> {
        let mut environment = self.settings.environment.clone();
        let mut set = |name: &str, value: String| drop(environment.insert(name.to_owned(), value));
        set("WORKLOAD", context.workload.to_string());
        set("INSTANCE_ID", instance.id.to_string());
        set("INSTANCE_PLACE", instance.place.to_string());
        set("INSTANCE_DIGEST", instance.digest.replace('\0', ""));
        if let Some(address) = instance.address {
            set("INSTANCE_ADDRESS", address.to_string());
            set("INSTANCE_HOST", address.ip().to_string());
            set("INSTANCE_PORT", address.port().to_string());
        }
        environment
    }
}

#[async_trait]
impl HealthCheck for ExecCheck {
    fn describe(&self) -> String {
        format!("program {} succeeds", self.settings.program)
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        let limit = Limit::within(context.deadline, None);
        let environment = self.environment(context, instance);
        let command = Command { environment, ..Command::new(self.argv.clone()) };
        match run(command, limit.until).await {
            Ok(run) => verdict(&self.settings.program, &run, limit.total),
            Err(RunError::Start(error) | RunError::Output(error)) => {
                unknown(format!("could not run {}: {error}", self.settings.program))
            }
        }
    }
}

fn verdict(program: &str, run: &Run, allowed: Duration) -> Probe {
    let said = if run.tail.is_empty() { String::new() } else { format!(": {:?}", run.tail) };
    match run.ended {
        Ended::Exit(status) if status.success() => Probe::Ok,
        Ended::Exit(status) if status.code() == Some(COULD_NOT_FIND_OUT) => {
            unknown(format!("{program} could not find out{said}"))
        }
        Ended::Exit(status) => failed(format!("{program} ended with {status}{said}")),
        Ended::TooLate => failed(format!("{program} did not end within {allowed:?}{said}")),
        Ended::Flooded => failed(format!("{program} printed more than {MOST_OUTPUT} bytes{said}")),
    }
}

fn check_name(name: &str) -> Option<Problem> {
    let ours = name == "WORKLOAD" || name.starts_with("INSTANCE_");
    ours.then(|| {
        let at = format!("environment.{}", quoted(name));
        Problem::new(at, "is set by the check itself: use another name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_come_at_once() {
        let problems = ExecCheck::program("a/b")
            .argument("x\0")
            .environment("INSTANCE_ID", "1")
            .environment("A=B", "1")
            .build()
            .unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.at.as_str()).collect();
        assert_eq!(
            places,
            ["program", "arguments.0", "environment.\"A=B\"", "environment.\"INSTANCE_ID\""],
            "{problems:?}"
        );
        for program in ["", "-c", "../x", "a\0"] {
            assert!(ExecCheck::program(program).build().is_err(), "{program:?} was accepted");
        }
    }

    #[test]
    fn debug_shows_no_values_of_variables() {
        let check = ExecCheck::program("true").environment("TOKEN", "hunter2").build().unwrap();
        let text = format!("{check:?}");
        assert!(text.contains("TOKEN") && !text.contains("hunter2"), "{text}");
    }
}
