//! Switches under load, with a real nginx and instances that exit at once when they are told to. This program is the
//! instances, and therefore has a `main` of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod instances;
mod losses;
mod stand;
#[path = "../support/mod.rs"]
mod support;
mod times;

use std::process::ExitCode;

use deployer_testkit::cases::{self, Case};

fn main() -> ExitCode {
    deployer_testkit::app::run_if_asked();
    let cases = [
        Case { name: "live_switches_lose_nothing", run: || stand::with(losses::live) },
        Case {
            name: "reload_switches_lose_no_fresh_request_and_no_get",
            run: || stand::with(losses::reload),
        },
        Case { name: "reload_switches_beside_plain_reloads", run: || stand::with(losses::kept_posts) },
        Case { name: "a_control_run_loses_requests", run: || stand::with(losses::control) },
        Case { name: "live_switches_take_a_moment", run: || stand::with(times::live) },
        Case { name: "reload_switches_take_longer", run: || stand::with(times::reload) },
    ];
    cases::run(&cases, 1)
}
