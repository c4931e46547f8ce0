//! Deployments of real processes behind a real nginx, each under load. This program is its own helper, demo application
//! and deployer, and therefore has a `main` of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../e2e/client.rs"]
mod client;
mod connections;
#[path = "../e2e/processes.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod processes;
#[path = "../e2e/recipes.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod recipes;
mod stand;
mod stickiness;
mod strategies;
mod way_back;

use std::process::ExitCode;

use deployer::nginx::RouterKind;
use deployer_testkit::cases::{self, Case};

macro_rules! cases {
    ($($kind:ident: $module:ident::$case:ident as $name:literal),* $(,)?) => {
        [$(Case { name: $name, run: || stand::with(RouterKind::$kind, $module::$case) }),*]
    };
}

fn main() -> ExitCode {
    deployer::local::init();
    deployer_testkit::app::run_if_asked();
    // The longest first, so that they do not stand alone at the end.
    let mut cases = cases![
        Reload: strategies::rolling as "reload::rolling_loses_nothing_on_new_connections",
        Reload: strategies::rolling_without_surge as "reload::rolling_without_surge_loses_nothing_on_new_connections",
        Reload: strategies::canary as "reload::canary_loses_nothing_on_new_connections",
        Reload: strategies::blue_green as "reload::blue_green_loses_nothing_on_new_connections",
        Reload: strategies::recreate as "reload::recreate_interrupts_and_ends",
        Live: strategies::rolling as "live::rolling_loses_nothing",
        Live: strategies::rolling_without_surge as "live::rolling_without_surge_loses_nothing",
        Live: strategies::canary as "live::canary_loses_nothing",
        Live: strategies::blue_green as "live::blue_green_loses_nothing",
        Live: strategies::recreate as "live::recreate_interrupts_and_ends",
        Live: strategies::control as "live::a_control_run_without_drain_and_proof_loses_requests",
        Reload: strategies::control as "reload::a_control_run_without_drain_and_proof_loses_requests",
        Live: way_back::bad_answers_are_seen_and_taken_back as "live::bad_answers_are_seen_and_taken_back",
        Reload: way_back::bad_answers_are_seen_and_taken_back as "reload::bad_answers_are_seen_and_taken_back",
        Live: connections::what_is_under_way_is_served_to_its_end as "live::what_is_under_way_is_served_to_its_end",
        Reload: connections::what_is_under_way_is_served_to_its_end as "reload::what_is_under_way_is_served_to_its_end",
        Live: connections::a_tunnel_that_does_not_end_holds_until_the_drain_bound
            as "live::a_tunnel_that_does_not_end_holds_until_the_drain_bound",
        Reload: connections::a_tunnel_that_does_not_end_holds_until_the_drain_bound
            as "reload::a_tunnel_that_does_not_end_holds_until_the_drain_bound",
    ]
    .to_vec();
    cases.push(Case {
        name: "a_client_has_the_same_set_behind_all_data_planes",
        run: stickiness::a_client_has_the_same_set_behind_all_data_planes,
    });
    cases::run(&cases, 2)
}
