//! What a process is started with.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use deployer_core::model::{Release, ReleaseId, SecretRef, settings::seconds};
use serde::{Deserialize, Serialize};

/// Which port an instance answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortChoice {
    /// Each instance gets a free port of 127.0.0.1 and is told by the variable `PORT`. The default.
    #[default]
    Assigned,
    /// Always this one. Two sets can then not run side by side, which forces stop-first: make the target with
    /// [`LocalHost::target_for`](crate::LocalHost::target_for) so that strategies know.
    Fixed(u16),
    /// It does not serve: a worker.
    None,
}

/// What happens when an instance ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RestartPolicy {
    /// It stays down and reads as failed.
    Never,
    /// If it ended with another status than 0 or by a signal it is started again, under its name and port, at most
    /// `max` times in a row; a run of a minute ends the row.
    OnFailure {
        /// How often in a row.
        max: u32,
        /// The wait before the first restart; it doubles with each one, up to 30 s.
        #[serde(with = "seconds")]
        backoff: Duration,
    },
}

impl Default for RestartPolicy {
    /// Three times, after 100, 200 and 400 ms: a release that cannot start has failed within a second.
    fn default() -> Self {
        Self::OnFailure { max: 3, backoff: Duration::from_millis(100) }
    }
}

/// What a process is started with. Everything that is not given here an instance does not get: its environment holds
/// `environment`, the values of `secrets`, `PORT`, `PATH` (unless given: `/usr/local/bin:/usr/bin:/bin`) and the
/// marks `DEPLOYER_HOST`, `DEPLOYER_WORKLOAD`, `DEPLOYER_SET`, `DEPLOYER_INSTANCE`, `DEPLOYER_DEPLOYMENT` and
/// `DEPLOYER_EPOCH`; nothing is inherited from
/// whoever deploys.
///
/// ```
/// use deployer_core::model::ReleaseId;
/// use deployer_local::ProcessSpec;
///
/// let release = ProcessSpec::new("/usr/bin/env")
///     .argument("--version")
///     .variable("LOG", "info")
///     .release(ReleaseId::new("v1")?);
/// assert_eq!(release.artifact, "/usr/bin/env");
/// # Ok::<(), deployer_core::model::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProcessSpec {
    /// The program, as an absolute path. In a [`Release`] it is the artifact, and left out of the config.
    #[serde(skip_serializing_if = "is_empty")]
    pub executable: PathBuf,
    /// Its arguments, without the program itself.
    pub arguments: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Environment variables whose values are secrets. They are asked for just before instances are started, and
    /// held in memory only: after the helper was restarted an instance that needs one is not started again until
    /// its set is applied again. As any variable, the user who runs it can read it under `/proc`.
    pub secrets: BTreeMap<String, SecretRef>,
    /// Where it runs. Default `/`.
    pub working_directory: PathBuf,
    /// Which port it answers on.
    pub port: PortChoice,
    /// How long it may take to end after SIGTERM before it is killed, in seconds. Default 10 s (Docker). Both signals
    /// go to its whole process group; what is left of that group, and of all that carries its marks, is killed when
    /// its main process ends.
    #[serde(with = "seconds")]
    pub stop_grace: Duration,
    /// What happens when it ends by itself.
    pub restart: RestartPolicy,
    /// Bytes of output kept, twice: the present file and the one before. Default 1 MiB, at least 4 KiB.
    pub log_limit: u64,
}

fn is_empty(path: &std::path::Path) -> bool {
    path.as_os_str().is_empty()
}

impl Default for ProcessSpec {
    fn default() -> Self {
        Self {
            executable: PathBuf::new(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            working_directory: PathBuf::from("/"),
            port: PortChoice::default(),
            stop_grace: Duration::from_secs(10),
            restart: RestartPolicy::default(),
            log_limit: 1024 * 1024,
        }
    }
}

impl ProcessSpec {
    /// A program with no arguments and the defaults of all else. It is checked when a target prepares it.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self { executable: executable.into(), ..Self::default() }
    }

    /// With one more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// With an environment variable whose value is a secret.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: SecretRef) -> Self {
        self.secrets.insert(name.into(), secret);
        self
    }

    /// Running in this directory.
    #[must_use]
    pub fn working_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.working_directory = directory.into();
        self
    }

    /// Answering on this port.
    #[must_use]
    pub fn port(mut self, port: PortChoice) -> Self {
        self.port = port;
        self
    }

    /// Killed this long after it was told to stop.
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// Restarted by this policy.
    #[must_use]
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// With this many bytes of output kept, twice.
    #[must_use]
    pub fn log_limit(mut self, bytes: u64) -> Self {
        self.log_limit = bytes;
        self
    }

    /// This process as a release: the executable is its artifact, the rest its config.
    pub fn release(mut self, id: ReleaseId) -> Release {
        let artifact = std::mem::take(&mut self.executable).to_string_lossy().into_owned();
        let mut secrets: Vec<SecretRef> = self.secrets.values().cloned().collect();
        secrets.sort();
        secrets.dedup();
        let config = serde_json::to_value(&self).unwrap_or_else(|error| {
            // A path that is not text cannot be written as JSON; preparing this config names it.
            serde_json::json!({ "invalid": error.to_string() })
        });
        Release { id, artifact, config, secrets }
    }

    /// The process that a release describes.
    ///
    /// # Errors
    /// The config has an unknown field or a value of a wrong type, names another executable than the artifact, or
    /// leaves a secret of the release unused.
    pub fn from_release(release: &Release) -> Result<Self, String> {
        let mut spec = match &release.config {
            serde_json::Value::Null => Self::default(),
            config => Self::deserialize(config).map_err(|error| format!("config: {error}"))?,
        };
        let artifact = PathBuf::from(&release.artifact);
        if !is_empty(&spec.executable) && spec.executable != artifact {
            return Err(format!(
                "config.executable is {} and the artifact is {}; leave it out of the config",
                spec.executable.display(),
                artifact.display()
            ));
        }
        spec.executable = artifact;
        if let Some(unused) =
            release.secrets.iter().find(|secret| !spec.secrets.values().any(|used| used == *secret))
        {
            return Err(format!(
                "secret {:?} is given to no environment variable; name one in config.secrets",
                unused.0
            ));
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ReleaseId {
        ReleaseId::new("v1").unwrap()
    }

    #[test]
    fn a_release_and_back() {
        let spec = ProcessSpec::new("/bin/sleep")
            .argument("3600")
            .variable("LOG", "info")
            .secret("TOKEN", SecretRef("web/token".into()))
            .port(PortChoice::Fixed(8080))
            .stop_grace(Duration::from_millis(1500));
        let release = spec.clone().release(id());
        assert_eq!(release.secrets, [SecretRef("web/token".into())]);
        assert!(release.config.get("executable").is_none(), "the artifact names it already");
        assert_eq!(ProcessSpec::from_release(&release).unwrap(), spec);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let mut release = ProcessSpec::new("/bin/sleep").release(id());
        release.config["stop_grase"] = 3.into();
        assert!(ProcessSpec::from_release(&release).unwrap_err().contains("stop_grase"));
        release.config = serde_json::json!({ "executable": "/bin/true" });
        assert!(ProcessSpec::from_release(&release).unwrap_err().contains("/bin/true"));
        release.config = serde_json::Value::Null;
        release.secrets.push(SecretRef("unused".into()));
        assert!(ProcessSpec::from_release(&release).unwrap_err().contains("unused"));
    }
}
