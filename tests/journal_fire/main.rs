//! The journal under fire: mutilated files, full disks, failing system calls, and more than one who wants to write.
//! This program starts itself again, as what fails and as the others, and therefore has a `main` of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod at_once;
mod disk_full;
mod failing_calls;
mod mutilated;
mod plans;
mod stand;

use std::process::ExitCode;

use deployer_testkit::cases::{self, Case};

macro_rules! cases {
    ($($module:ident::$case:ident),* $(,)?) => {
        [$(Case { name: stringify!($case), run: $module::$case }),*]
    };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [failing_calls::CHILD, directory] => return failing_calls::child(directory),
        [disk_full::CHILD, way, directory] => return disk_full::child(way, directory),
        [at_once::CHILD] => return at_once::child(),
        _ => {}
    }
    let cases = cases![
        failing_calls::a_failing_call_stops_everything_and_the_next_run_goes_on,
        mutilated::cut_anywhere_it_ends_as_it_should,
        mutilated::a_flipped_bit_is_refused_by_name_before_any_effect,
        mutilated::records_that_are_missing_doubled_or_swapped_are_refused,
        mutilated::a_journal_that_ended_counts_until_a_newer_one_succeeded,
        mutilated::files_that_are_no_journal_of_this_deployment_are_refused,
        mutilated::other_formats_are_named,
        disk_full::a_full_disk_stops_everything_and_room_lets_it_go_on,
        plans::another_plan_is_refused_by_name_or_takes_over,
        plans::resumed_twice_at_once_one_goes_on,
        at_once::of_two_processes_in_one_millisecond_one_wins,
        at_once::of_two_tasks_in_one_millisecond_one_wins,
    ];
    cases::run(&cases, 2)
}
