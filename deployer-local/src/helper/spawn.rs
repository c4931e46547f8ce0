//! Starting one process.

use std::{
    collections::BTreeMap,
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use deployer_core::{
    model::{InstanceId, SetId, WorkloadId},
    ports::Secret,
};

use super::{
    instance::MadeBy,
    output::Output,
    process::{MARK_HOST, MARK_INSTANCE, MARK_WORKLOAD},
};
use crate::spec::ProcessSpec;

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Everything that one start needs.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) host: &'a str,
    pub(crate) workload: &'a WorkloadId,
    pub(crate) set: &'a SetId,
    pub(crate) instance: &'a InstanceId,
    pub(crate) made_by: &'a MadeBy,
    pub(crate) port: Option<u16>,
    pub(crate) spec: &'a ProcessSpec,
    pub(crate) secrets: &'a BTreeMap<String, Secret>,
    /// The copy that was made when the release was prepared.
    pub(crate) executable: PathBuf,
    pub(crate) output: Output,
}

impl Launch<'_> {
    /// Starts the process as the leader of a group of its own, and returns its number. It is our child: its number
    /// stays its own until it is reaped.
    pub(crate) fn spawn(&self) -> io::Result<i32> {
        let mut attempts = 0;
        loop {
            match self.command()?.spawn() {
                Ok(child) => return Ok(i32::try_from(child.id()).unwrap_or(i32::MAX)),
                // Another process that was forked while the copy was written still has it open, until it executes.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && attempts < 10 => {
                    attempts += 1;
                    thread::sleep(Duration::from_millis(2));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn command(&self) -> io::Result<Command> {
        let output = self.output.open()?;
        let mut command = Command::new(&self.executable);
        command
            .arg0(&self.spec.executable)
            .args(&self.spec.arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(&self.spec.environment)
            .envs(self.secrets.iter().map(|(name, value)| (name, value.expose())))
            .env(MARK_HOST, self.host)
            .env(MARK_WORKLOAD, self.workload.as_str())
            .env("DEPLOYER_SET", self.set.as_str())
            .env(MARK_INSTANCE, self.instance.as_str())
            .env("DEPLOYER_DEPLOYMENT", self.made_by.deployment.as_str())
            .env("DEPLOYER_EPOCH", self.made_by.epoch.to_string())
            .current_dir(&self.spec.working_directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(port) = self.port {
            command.env("PORT", port.to_string());
        }
        Ok(command)
    }
}
