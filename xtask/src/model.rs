//! `cargo xtask model`: the exhaustive check of the strategies.

use std::process::ExitCode;

/// Searches, prints, and fails if a promise was broken or a planted bug survived.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    match deployer_testkit::model::run(arguments) {
        Ok(report) => {
            print!("{report}");
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            println!("{problem}");
            ExitCode::FAILURE
        }
    }
}
