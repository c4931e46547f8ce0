//! Crashes of the deployer at every point of its work: in the fake world all of them, at real processes many. This
//! program starts itself again as a deployer that is killed, and therefore has a `main` of its own.
//!
//! With `--matrix` it prints the whole matrix, which `cargo xtask crash` asks for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod fake_runs;
mod options;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::process::ExitCode;

use deployer_testkit::cases::{self, Case, say};

use crate::options::Options;

fn main() -> ExitCode {
    deployer::local::init();
    deployer_testkit::app::run_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--matrix", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        let options = Options::parse(rest).unwrap();
        for row in fake_runs::rows() {
            let start = std::time::Instant::now();
            let table = fake_runs::all_of(&row, &options);
            say(&format!("{} {table} {:?}", row.name, start.elapsed()));
        }
        return ExitCode::SUCCESS;
    }
    let cases: [Case; 0] = [];
    cases::run(&cases, 2)
}
