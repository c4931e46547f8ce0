//! Whether a process can be started here: all problems at once, before anything is done.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use deployer_core::error::Problem;
use rustix::fs::{Access, StatVfsMountFlags};

use crate::{
    directory::Directory,
    spec::{PortChoice, ProcessSpec, RestartPolicy},
};

/// Linux takes no argument, and no variable, longer than this.
const LONGEST_TEXT: usize = 128 * 1024 - 1;

/// The least output that is kept.
const LEAST_LOG: u64 = 4096;

/// Everything that is wrong with a process.
pub(crate) fn problems(spec: &ProcessSpec, directory: &Directory) -> Vec<Problem> {
    let mut problems = Problems(Vec::new());
    problems.executable(&spec.executable);
    problems.texts(spec);
    problems.working_directory(&spec.working_directory);
    if spec.port == PortChoice::Fixed(0) {
        problems.add("port", "0 is no fixed port; use an assigned one");
    }
    if spec.log_limit < LEAST_LOG {
        problems.add("log_limit", format!("{} is below {LEAST_LOG} bytes", spec.log_limit));
    }
    if let RestartPolicy::OnFailure { backoff, .. } = spec.restart
        && backoff.is_zero()
    {
        problems.add("restart.backoff", "0 s is a hot loop; give it a wait");
    }
    let is_no_exec = rustix::fs::statvfs(directory.path())
        .is_ok_and(|file_system| file_system.f_flag.contains(StatVfsMountFlags::NOEXEC));
    if is_no_exec {
        let message = format!(
            "{} is on a file system mounted noexec, and executables are copied there; choose another",
            directory.path().display()
        );
        problems.add("directory", message);
    }
    problems.0
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem::new(at, message));
    }

    fn executable(&mut self, path: &Path) {
        let shown = path.display();
        if path.as_os_str().is_empty() {
            return self.add("artifact", "no executable is named; give its absolute path");
        }
        if path.to_str().is_none_or(|text| text.contains('\0')) {
            return self
                .add("artifact", format!("{:?} is not text without zero bytes", path.to_string_lossy()));
        }
        if !path.is_absolute() {
            return self.add("artifact", format!("{shown} is not an absolute path"));
        }
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.add("artifact", format!("executable {shown} does not exist"));
            }
            Err(error) => self.add("artifact", format!("executable {shown}: {error}")),
            Ok(metadata) if !metadata.is_file() => self.add("artifact", format!("{shown} is not a file")),
            Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
                self.add("artifact", format!("{shown} is not executable; set its mode with chmod +x"));
            }
            Ok(_) => self.format(path),
        }
    }

    /// Linux starts ELF files and scripts that name their interpreter; what else is executable it refuses.
    fn format(&mut self, path: &Path) {
        let mut start = [0; 4];
        match File::open(path).and_then(|mut file| file.read(&mut start)) {
            Err(error) => {
                self.add("artifact", format!("executable {} cannot be read: {error}", path.display()));
            }
            Ok(4) if start == *b"\x7fELF" || start.starts_with(b"#!") => {}
            Ok(_) => {
                let message = format!("{} is neither an ELF file nor a script with #!", path.display());
                self.add("artifact", message);
            }
        }
    }

    fn texts(&mut self, spec: &ProcessSpec) {
        for (number, argument) in spec.arguments.iter().enumerate() {
            self.text(format!("config.arguments[{number}]"), argument);
        }
        for (name, value) in &spec.environment {
            self.variable("config.environment", name);
            self.text(format!("config.environment.{}", name.escape_debug()), value);
        }
        for name in spec.secrets.keys() {
            self.variable("config.secrets", name);
            if spec.environment.contains_key(name) {
                self.add("config.secrets", format!("{} is in environment too", name.escape_debug()));
            }
        }
    }

    fn variable(&mut self, at: &str, name: &str) {
        let bytes = name.as_bytes();
        let is_name = bytes.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && bytes.len() <= 255;
        if !is_name {
            let shown: String = name.chars().take(80).collect();
            let message =
                format!("{shown:?} is no name of a variable; use [A-Za-z_][A-Za-z0-9_]*, at most 255");
            self.add(at, message);
        } else if name == "PORT" || name.starts_with("DEPLOYER_") {
            self.add(at, format!("{name} is set by the helper; choose another name"));
        }
    }

    fn text(&mut self, at: String, text: &str) {
        if text.contains('\0') {
            self.add(at, "has a zero byte");
        } else if text.len() > LONGEST_TEXT {
            self.add(at, format!("has {} bytes, Linux takes {LONGEST_TEXT}", text.len()));
        }
    }

    fn working_directory(&mut self, path: &Path) {
        let shown = path.display();
        if !path.is_absolute() || path.to_str().is_none_or(|text| text.contains('\0')) {
            self.add("config.working_directory", format!("{shown:?} is not an absolute path"));
        } else if !path.is_dir() {
            self.add("config.working_directory", format!("{shown} is not a directory that can be seen"));
        } else if let Err(error) = rustix::fs::access(path, Access::EXEC_OK) {
            self.add("config.working_directory", format!("{shown} cannot be entered: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(spec: &ProcessSpec) -> Vec<String> {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::create(&parent.path().join("d")).unwrap();
        problems(spec, &directory).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_plain_program_is_fine() {
        assert_eq!(found(&ProcessSpec::new("/bin/sleep").argument("1")), Vec::<String>::new());
    }

    #[test]
    fn all_problems_come_at_once() {
        let spec = ProcessSpec::new("/missing/program")
            .argument("a\0b")
            .variable("A B", "1")
            .variable("PORT", "1")
            .variable("OK", "x\0")
            .working_directory("/missing")
            .port(PortChoice::Fixed(0))
            .log_limit(1);
        let found = found(&spec);
        for part in [
            "/missing/program does not exist",
            "arguments[0]",
            "\"A B\"",
            "PORT is set",
            "environment.OK",
            "not a directory",
            "0 is no fixed port",
            "log_limit",
        ] {
            assert!(found.iter().any(|problem| problem.contains(part)), "{part} is missing in {found:#?}");
        }
    }

    #[test]
    fn what_cannot_be_executed_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("program");
        fs::write(&path, "echo").unwrap();
        let says = |path: &Path, part: &str| {
            let found = found(&ProcessSpec::new(path));
            assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
        };
        says(&path, "not executable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        says(&path, "neither an ELF file nor a script");
        says(parent.path(), "not a file");
        says(Path::new("sleep"), "absolute");
        says(Path::new(""), "no executable");
    }
}
