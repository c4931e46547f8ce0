//! A deployer that is killed between any two steps of a switch: whoever resumes finds, or makes, file and
//! running configuration agree. This program starts itself again as the one that is killed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod child;
mod events;
mod live;
mod resume;
mod states;
mod steps;

use std::process::ExitCode;

use deployer_testkit::cases::{self, Case};

fn main() -> ExitCode {
    if let Some(code) = child::run_if_asked() {
        return code;
    }
    let cases = [
        Case { name: "killed_at_each_step_of_a_switch", run: steps::of_a_switch },
        Case { name: "killed_at_each_step_of_a_refused_switch", run: steps::of_a_refused_switch },
        Case { name: "killed_at_each_step_of_a_live_switch", run: live::at_each_step },
        Case { name: "killed_while_a_live_nginx_is_told", run: live::while_nginx_is_told },
        Case { name: "killed_between_the_file_and_the_signal", run: states::between_file_and_signal },
        Case { name: "killed_between_the_signal_and_the_proof", run: states::between_signal_and_proof },
        Case { name: "killed_before_a_refusal_was_heard", run: states::before_a_refusal_was_heard },
        Case { name: "what_a_killed_one_left_is_in_nobodys_way", run: states::left_overs },
    ];
    cases::run(&cases, 2)
}
