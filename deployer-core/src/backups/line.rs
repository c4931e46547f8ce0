//! What a program of a backup is started with.

use std::path::Path;

use crate::{error::Problem, model::BackupKey, process::Argv};

/// A program with arguments, in which `{archive}` stands for the path of the archive, `{place}` for where a restore
/// goes, and `{key}` for the key of the backup. There is no shell. No secrets: arguments can be seen by all users of
/// the host.
///
/// A placeholder is best an argument of its own, or follows a `=`. Anywhere else (`.backup {archive}` of `SQLite`) it is
/// filled only with what has no meaning in any language: letters, digits and `/ . _ -`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is started by a backup"]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
    pub(super) output_is_archive: bool,
    pub(super) input_is_archive: bool,
}

impl CommandLine {
    /// A program: an absolute path, or a name that is looked up in `PATH`.
    pub fn program(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            output_is_archive: false,
            input_is_archive: false,
        }
    }

    /// One more argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// What it prints on its standard output is the archive. For the command that makes one.
    pub fn output_is_archive(mut self) -> Self {
        self.output_is_archive = true;
        self
    }

    /// It reads the archive on its standard input. For the commands that verify and restore one.
    pub fn input_is_archive(mut self) -> Self {
        self.input_is_archive = true;
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.program
    }

    /// Whether this placeholder comes up.
    pub(super) fn names(&self, placeholder: Placeholder) -> bool {
        self.arguments.iter().any(|argument| argument.contains(placeholder.text()))
    }

    /// What is wrong with it, `may` being what there is to stand for.
    pub(super) fn problems(&self, at: &str, may: &[Placeholder]) -> Vec<Problem> {
        let mut problems = Argv::new(&self.program, &self.arguments).err().unwrap_or_default();
        for (number, argument) in self.arguments.iter().enumerate() {
            for placeholder in Placeholder::ALL {
                if argument.contains(placeholder.text()) && !may.contains(&placeholder) {
                    let message = format!("there is no {} here", placeholder.text());
                    problems.push(Problem::new(format!("arguments.{number}"), message));
                }
            }
        }
        for problem in &mut problems {
            problem.at = format!("{at}.{}", problem.at);
        }
        problems
    }

    /// With all placeholders filled.
    pub(super) fn fill(&self, values: &Values<'_>) -> Result<Argv, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for (number, argument) in self.arguments.iter().enumerate() {
            match fill(argument, values) {
                Ok(filled) => arguments.push(filled),
                Err(message) => problems.push(Problem::new(format!("arguments.{number}"), message)),
            }
        }
        if problems.is_empty() { Argv::new(&self.program, arguments) } else { Err(problems) }
    }
}

/// What stands for something that is known only when a program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    Archive,
    Place,
    Key,
}

impl Placeholder {
    const ALL: [Self; 3] = [Self::Archive, Self::Place, Self::Key];

    fn text(self) -> &'static str {
        match self {
            Self::Archive => "{archive}",
            Self::Place => "{place}",
            Self::Key => "{key}",
        }
    }
}

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) archive: &'a Path,
    pub(super) place: Option<&'a str>,
    pub(super) key: &'a BackupKey,
}

/// Fills one argument from its left to its right, so that what is filled in is not looked at again.
fn fill(argument: &str, values: &Values<'_>) -> Result<String, String> {
    let mut filled = String::with_capacity(argument.len());
    let mut rest = argument;
    while let Some((at, placeholder)) = next(rest) {
        let text = placeholder.text();
        let value = match placeholder {
            Placeholder::Archive => values.archive.to_str().ok_or("the path of the archive is no UTF-8")?,
            Placeholder::Place => values.place.ok_or("there is no {place} here")?,
            Placeholder::Key => values.key.as_str(),
        };
        let before = &rest[..at];
        rest = &rest[at + text.len()..];
        let alone = filled.is_empty() && rest.is_empty() && (before.is_empty() || before.ends_with('='));
        if !alone && !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)) {
            return Err(format!(
                "{value:?} cannot stand inside {argument:?}: use [A-Za-z0-9/._-] in its path"
            ));
        }
        filled.push_str(before);
        filled.push_str(value);
    }
    filled.push_str(rest);
    Ok(filled)
}

fn next(text: &str) -> Option<(usize, Placeholder)> {
    let found = Placeholder::ALL.into_iter().filter_map(|one| text.find(one.text()).map(|at| (at, one)));
    found.min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(argument: &str, archive: &str) -> Result<String, String> {
        let key = BackupKey::new("d1").unwrap();
        fill(argument, &Values { archive: Path::new(archive), place: Some("/p/{key}"), key: &key })
    }

    #[test]
    fn placeholders_are_filled_once() {
        assert_eq!(filled("--file={archive}", "/b/it's {key}").unwrap(), "--file=/b/it's {key}");
        assert_eq!(filled("{place}", "/b").unwrap(), "/p/{key}");
        assert_eq!(filled(".backup {archive}", "/b/d1/archive").unwrap(), ".backup /b/d1/archive");
        assert_eq!(filled("{key}-{key}", "/b").unwrap(), "d1-d1");
        assert_eq!(filled("{other} {", "/b").unwrap(), "{other} {");
    }

    #[test]
    fn what_could_mean_something_stands_alone() {
        for archive in ["/b/it's", "/b/a b", "/b/x;y", "/b/ä", "/b/x\ny"] {
            assert!(filled(".backup {archive}", archive).is_err(), "{archive:?} was filled in");
            assert_eq!(filled("{archive}", archive).unwrap(), archive);
        }
    }
}
