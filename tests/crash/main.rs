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
mod planted;
mod planted_real;
#[path = "../e2e/processes.rs"]
mod processes;
mod real;
mod real_runs;
#[path = "../e2e/recipes.rs"]
mod recipes;
mod samples;
mod shop;
mod shop_runs;
#[path = "../e2e/stand.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod stand;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod witness;
mod works;

use std::process::ExitCode;

use deployer_testkit::cases::{self, Case};

macro_rules! cases {
    ($($module:ident::$case:ident),* $(,)?) => {
        [$(Case { name: stringify!($case), run: $module::$case }),*]
    };
}

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
    // The longest first, so that they do not stand alone at the end.
    let cases = cases![
        samples::a_pipeline_at_real_processes,
        samples::canary_at_real_processes,
        samples::rolling_at_real_processes,
        samples::blue_green_at_real_processes,
        samples::recreate_at_real_processes,
        planted_real::a_point_that_is_not_reached_is_a_failure,
        planted_real::a_deployer_that_does_not_come_back_leaves_orphans,
        samples::a_pipeline_in_the_fake_world,
        samples::canary_in_the_fake_world,
        samples::rolling_in_the_fake_world,
        samples::blue_green_in_the_fake_world,
        samples::recreate_in_the_fake_world,
        planted::a_journal_that_says_durable_too_early_is_caught,
        planted::a_target_that_starts_anew_is_caught,
        planted::a_target_that_forgets_what_it_started_is_caught,
        planted::a_stage_that_is_done_twice_after_a_crash_is_caught,
        planted::a_router_that_loses_its_split_with_its_client_is_caught,
    ];
    cases::run(&cases, 2)
}
