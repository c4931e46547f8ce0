//! The scenarios of the field, by number, played by the production engine in the fake world and in virtual time.
//!
//! K1 to K56 come from tools for Kubernetes, D1 to D52 from tools for Docker and for plain hosts. Each is listed once:
//! with a test, or with where it belongs. The table in `README.md` is what a run prints, and a
//! run fails if it is another: `cargo xtask scenarios --write` renews it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blue_green;
mod canary;
mod docker;
mod drain;
mod failure;
mod gates;
mod health;
mod kubernetes;
mod list;
mod lock;
mod pipeline;
mod promotion;
mod recovery;
mod recreate;
mod repair;
mod rolling;
mod scaling;
#[path = "../support/mod.rs"]
mod stand;
mod superseding;
mod support;
mod table;
mod way_back;

use std::process::ExitCode;

use deployer_testkit::cases;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scenarios = list::all();
    let code = cases::run(&list::cases(&scenarios), 2);
    if arguments.iter().any(|argument| argument == "--list") {
        return code;
    }
    match table::conclude(&scenarios, &arguments) {
        Ok(()) => code,
        Err(problem) => {
            cases::say(&problem);
            ExitCode::FAILURE
        }
    }
}
