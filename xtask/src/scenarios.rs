//! `cargo xtask scenarios`: plays the field's scenarios and prints their table.

use std::process::ExitCode;

use crate::command::Place;

/// Plays them all; with `--write` the table in the repository is renewed.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let is_writing = match arguments {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => {
            println!("usage: cargo xtask scenarios [--write]");
            return ExitCode::FAILURE;
        }
    };
    let place = match Place::find() {
        Ok(place) => place,
        Err(error) => {
            println!("cannot write below the target directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let flag = if is_writing { "--write" } else { "--table" };
    let mut command = place.cargo(&["test", "--quiet", "--package", "deployer", "--test", "scenarios", "--"]);
    match command.arg(flag).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("cargo cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}
