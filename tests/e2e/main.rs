//! Deployments of real processes behind the embedded proxy, each under load. This program is its own helper, demo
//! application and deployer: it starts itself again, and therefore has a `main` of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod bad_releases;
mod children;
mod client;
mod connections;
mod crash;
mod health_answers;
mod helper_killed;
mod processes;
#[allow(dead_code, reason = "the crash tests use the rest of it")]
mod recipes;
mod side_by_side;
mod stand;
mod taken_over;
mod told_to_end;
mod zero_loss;

use std::process::ExitCode;

use deployer_testkit::cases::{self, Case};

macro_rules! cases {
    ($($module:ident::$case:ident),* $(,)?) => {
        [$(Case { name: stringify!($case), run: || stand::with($module::$case) }),*]
    };
}

fn main() -> ExitCode {
    deployer::local::init();
    deployer_testkit::app::run_if_asked();
    if let Some(code) = children::run_if_asked().or_else(taken_over::run_if_asked) {
        return code;
    }
    // The longest first, so that they do not stand alone at the end.
    let cases = cases![
        crash::canary_goes_on_after_kill_9,
        crash::rolling_goes_on_after_kill_9,
        crash::blue_green_goes_on_after_kill_9,
        crash::recreate_goes_on_after_kill_9,
        taken_over::a_stopped_deployer_that_was_replaced_wakes_without_effect,
        taken_over::a_deployer_that_wakes_while_it_is_replaced_does_no_harm,
        taken_over::resumed_by_two_processes_at_once_one_goes_on,
        zero_loss::a_control_run_without_drain_and_proof_loses_requests,
        zero_loss::rolling_with_surge_loses_nothing,
        zero_loss::rolling_without_surge_loses_nothing,
        zero_loss::blue_green_loses_nothing,
        zero_loss::canary_loses_nothing,
        connections::what_is_under_way_at_a_switch_is_served_to_its_end,
        connections::a_tunnel_that_does_not_end_is_cut_at_the_drain_bound,
        connections::connections_of_all_shapes_are_kept_across_a_switch,
        told_to_end::rolling_stops_at_a_signal_and_goes_on,
        told_to_end::canary_stops_at_a_signal_and_goes_on,
        told_to_end::another_process_looks_and_aborts,
        bad_releases::never_healthy_is_taken_back,
        bad_releases::a_failed_smoke_check_is_taken_back,
        bad_releases::errors_are_taken_back_and_nothing_else_fails,
        bad_releases::an_exit_at_start_is_taken_back_with_its_exit_code,
        bad_releases::a_crash_in_the_bake_time_is_taken_back,
        bad_input::bad_artifacts_change_nothing,
        bad_input::a_taken_port_changes_nothing,
        bad_input::a_taken_router_address_changes_nothing,
        bad_input::descriptions_that_make_no_sense_are_refused,
        bad_input::settings_as_text_are_checked,
        bad_input::a_lock_of_a_living_owner_is_respected_by_name,
        health_answers::a_byte_a_second_is_not_healthy,
        health_answers::ten_gigabytes_are_not_healthy_and_not_kept,
        side_by_side::six_workloads_at_once,
        helper_killed::a_rollout_survives_the_death_of_the_helper,
    ];
    cases::run(&cases, 2)
}
