//! What is started: a program and its arguments, never a line for a shell.

use crate::{checks::quoted, error::Problem};

/// A program and its arguments, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argv {
    program: String,
    arguments: Vec<String>,
}

impl Argv {
    /// A program, absolute or looked up in `PATH`, with arguments that are passed on as they are.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub(crate) fn new(
        program: impl Into<String>,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, Vec<Problem>> {
        let program = program.into();
        let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
        let mut problems: Vec<_> = check_program(&program).into_iter().collect();
        for (number, argument) in arguments.iter().enumerate() {
            problems.extend(check_argument(number, argument));
        }
        if problems.is_empty() { Ok(Self { program, arguments }) } else { Err(problems) }
    }

    /// The program.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Its arguments.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

/// What is wrong with a program.
pub(crate) fn check_program(program: &str) -> Option<Problem> {
    if program.is_empty() || program.starts_with('-') || program.contains('\0') {
        return Some(Problem::new("program", format!("{} is no program", quoted(program))));
    }
    (program.contains('/') && !program.starts_with('/')).then(|| {
        let message = format!("{} depends on the working directory: use an absolute path", quoted(program));
        Problem::new("program", message)
    })
}

/// What is wrong with the argument of this number.
pub(crate) fn check_argument(number: usize, argument: &str) -> Option<Problem> {
    argument.contains('\0').then(|| Problem::new(format!("arguments.{number}"), "has a zero byte"))
}

/// What is wrong with an environment variable.
pub(crate) fn check_variable(name: &str, value: &str) -> Option<Problem> {
    (name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')).then(|| {
        let at = format!("environment.{}", quoted(name));
        Problem::new(at, "has an empty name, a \"=\" in its name, or a zero byte")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_come_at_once() {
        let problems = Argv::new("a/b", ["x\0", "y", "\0"]).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.at.as_str()).collect();
        assert_eq!(places, ["program", "arguments.0", "arguments.2"], "{problems:?}");
        for program in ["", "-c", "../x", "a\0"] {
            assert!(Argv::new(program, [""; 0]).is_err(), "{program:?} was accepted");
        }
        let argv = Argv::new("pg_dump", ["--format=custom"]).unwrap();
        assert_eq!((argv.program(), argv.arguments()), ("pg_dump", &["--format=custom".to_owned()][..]));
    }

    #[test]
    fn variables_have_names() {
        assert_eq!(check_variable("PGHOST", "a=b"), None);
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
            assert!(check_variable(name, value).is_some(), "{name:?}={value:?} was accepted");
        }
    }
}
