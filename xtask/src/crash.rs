//! `cargo xtask crash`: the deployer killed at every point of its work.
//!
//! The test program `crash` does it; here it is built as it is used, for its virtual time costs real time, and asked for
//! the matrix.

use std::process::{Command, ExitCode};

use crate::command::{Outcome, Place, run as run_command, tail};

/// Prints the matrix, and fails if a crash did harm.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let status = Place::find().and_then(|place| command(&place, arguments).status());
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("the matrix could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The same as a part of everything that has to hold.
pub(crate) fn part(place: &Place) -> Outcome {
    match run_command(place, "crash", command(place, &[])) {
        Ok(output) => verdict(&tail(&output, 1)),
        Err(failed) => failed,
    }
}

fn command(place: &Place, arguments: &[String]) -> Command {
    let mut command = place.cargo(&["test", "--quiet", "--release", "--test", "crash", "--", "--matrix"]);
    command.args(arguments);
    command
}

/// The last line counts kills; a matrix without any proves nothing.
fn verdict(line: &str) -> Outcome {
    let kills = line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    if kills.is_some_and(|kills| kills > 0) && line.contains(" kills, ") {
        return Outcome::Passed(line.to_owned());
    }
    Outcome::Failed(format!("the last line counts no kills: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_without_kills_has_failed() {
        let good = "112 kills, 107 resumed, 0 orphans, failed 0 of 18591 requests, 0 failures, 50 s";
        assert_eq!(verdict(good), Outcome::Passed(good.to_owned()));
        for bad in ["", "0 kills, 0 resumed", "running 3 tests", "kills: 7"] {
            assert!(matches!(verdict(bad), Outcome::Failed(_)), "{bad}");
        }
    }
}
