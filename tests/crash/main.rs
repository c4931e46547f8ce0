//! Crashes of the deployer at every point of its work: in the fake world all of them, at real processes many. This
//! program starts itself again as a deployer that is killed, and therefore has a `main` of its own.
//!
//! With `--matrix` it prints the whole matrix, which `cargo xtask crash` asks for; without it is a test with cases.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod disturb;
mod fake;
mod fake_runs;
mod matrix;
mod options;
#[path = "../e2e/processes.rs"]
mod processes;
mod real;
mod real_runs;
#[path = "../e2e/recipes.rs"]
mod recipes;
#[path = "../e2e/stand.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod stand;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::process::ExitCode;

use deployer_testkit::cases::{self, Case};

fn main() -> ExitCode {
    deployer::local::init();
    deployer_testkit::app::run_if_asked();
    if let Some(code) = child::run_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--matrix", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return matrix::run(rest);
    }
    let cases: [Case; 0] = [];
    cases::run(&cases, 2)
}
