//! Which programs make, verify and restore a backup.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    command::CommandBackup,
    line::{CommandLine, Placeholder},
    room::{check_identity, check_path},
};
use crate::{
    error::Problem,
    model::SecretRef,
    ports::{BackupSource, SecretSource},
    process::check_variable,
};

/// Puts a [`CommandBackup`] together; made by [`CommandBackup::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct CommandBackupBuilder {
    pub(super) source: BackupSource,
    pub(super) store: PathBuf,
    pub(super) create: Option<CommandLine>,
    pub(super) verify: Option<CommandLine>,
    pub(super) restore: Option<CommandLine>,
    pub(super) check: Option<CommandLine>,
    pub(super) live: Option<PathBuf>,
    pub(super) places_are_names: bool,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) inherited: Vec<String>,
    pub(super) secrets: BTreeMap<String, SecretRef>,
    pub(super) secret_source: Option<Arc<dyn SecretSource>>,
    pub(super) least_bytes: u64,
    pub(super) estimated_bytes: Option<u64>,
}

impl CommandBackupBuilder {
    pub(super) fn new(source: BackupSource, store: &Path) -> Self {
        Self {
            source,
            store: store.to_owned(),
            create: None,
            verify: None,
            restore: None,
            check: None,
            live: None,
            places_are_names: false,
            environment: BTreeMap::new(),
            inherited: Vec::new(),
            secrets: BTreeMap::new(),
            secret_source: None,
            least_bytes: 1,
            estimated_bytes: None,
        }
    }

    /// Makes an archive at `{archive}`, or prints it. Has to be given.
    pub fn create(mut self, line: CommandLine) -> Self {
        self.create = Some(line);
        self
    }

    /// Reads `{archive}` to its end; any end but 0 means that it is damaged. Without it the level `Listed` is not
    /// supported. To list what is in an archive is seldom enough: `pg_restore --list` reads only its beginning.
    pub fn verify(mut self, line: CommandLine) -> Self {
        self.verify = Some(line);
        self
    }

    /// Restores `{archive}` to `{place}`, where nothing is yet. Without it nothing can be restored.
    pub fn restore(mut self, line: CommandLine) -> Self {
        self.restore = Some(line);
        self
    }

    /// Looks at what was restored to `{place}`; any end but 0 means that it is not what it should be.
    pub fn check(mut self, line: CommandLine) -> Self {
        self.check = Some(line);
        self
    }

    /// The file or directory that is backed up, so that a restore can take its place. Without it data can only be
    /// restored to a new place.
    pub fn live(mut self, path: impl Into<PathBuf>) -> Self {
        self.live = Some(path.into());
        self
    }

    /// Places are no paths but names, of databases for instance: whether one is free, the program that restores has to
    /// find out. What is restored cannot be swapped in, and not be thrown away again, so the level `Restored` is not
    /// supported.
    pub fn places_are_names(mut self) -> Self {
        self.places_are_names = true;
        self
    }

    /// A variable for all programs. Not for secrets.
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// A variable that is passed on as this process has it. Only `PATH` is without being named.
    pub fn inherit(mut self, name: impl Into<String>) -> Self {
        self.inherited.push(name.into());
        self
    }

    /// A variable with the present value of a secret.
    pub fn secret(mut self, name: impl Into<String>, secret: SecretRef) -> Self {
        self.secrets.insert(name.into(), secret);
        self
    }

    /// Where secrets come from. Has to be given if there are any.
    pub fn secret_source(mut self, source: Arc<dyn SecretSource>) -> Self {
        self.secret_source = Some(source);
        self
    }

    /// An archive below this size in bytes is none, whatever the program says; 1 unless said otherwise.
    pub fn least_bytes(mut self, bytes: u64) -> Self {
        self.least_bytes = bytes;
        self
    }

    /// How large a backup is expected to be. Without it the largest one so far counts.
    pub fn estimated_bytes(mut self, bytes: u64) -> Self {
        self.estimated_bytes = Some(bytes);
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// All that is wrong with the settings, at once.
    pub fn build(self) -> Result<CommandBackup, Vec<Problem>> {
        let problems = self.problems();
        if problems.is_empty() { Ok(CommandBackup::from_settings(self)) } else { Err(problems) }
    }

    fn problems(&self) -> Vec<Problem> {
        use Placeholder::{Archive, Key, Place};
        let mut problems: Vec<_> = [
            check_identity(&self.source.identity),
            check_path("store", &self.store),
            self.live.as_deref().and_then(|live| check_path("live", live)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.create.is_none() {
            problems.push(Problem::new("create", "no program makes the backup: name one"));
        }
        if self.live.is_some() && self.places_are_names {
            problems.push(Problem::new("live", "places are names, so there is no path to be swapped"));
        }
        let lines = [
            ("create", &self.create, &[Archive, Key][..]),
            ("verify", &self.verify, &[Archive, Key][..]),
            ("restore", &self.restore, &[Archive, Key, Place][..]),
            ("check", &self.check, &[Key, Place][..]),
        ];
        for (at, line, may) in lines {
            if let Some(line) = line {
                problems.extend(line.problems(at, may));
                problems.extend(archive_use(at, line));
            }
        }
        for (name, value) in &self.environment {
            problems.extend(check_variable(name, value));
        }
        for name in self.inherited.iter().chain(self.secrets.keys()) {
            problems.extend(check_variable(name, ""));
        }
        if !self.secrets.is_empty() && self.secret_source.is_none() {
            problems.push(Problem::new("secrets", "nobody knows their values: name a source of secrets"));
        }
        problems
    }
}

/// What is wrong with the way to the archive: there has to be exactly one.
fn archive_use(at: &str, line: &CommandLine) -> Option<Problem> {
    let named = line.names(Placeholder::Archive);
    let message = match at {
        "create" if line.input_is_archive => "there is no archive yet that it could read",
        "create" if named == line.output_is_archive => "has to write {archive}, or to print it, and not both",
        "verify" | "restore" | "check" if line.output_is_archive => "does not make the archive",
        "verify" | "restore" if named == line.input_is_archive => {
            "has to read {archive}, or its standard input, and not both"
        }
        "restore" if !line.names(Placeholder::Place) => {
            "has to restore to {place}, or it would meet live data"
        }
        "check" if line.input_is_archive => "looks at {place} and not at the archive",
        _ => return None,
    };
    Some(Problem::new(at, message))
}
