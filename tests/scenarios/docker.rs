//! Scenarios of tools for Docker and for plain hosts.

use crate::list::{Scenario, scenario};

/// D1 to D52, in order.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut all = first_half();
    all.extend(second_half());
    all
}

fn first_half() -> Vec<Scenario> {
    vec![
        scenario!("D1", "once the new set is healthy it gets every request, and the old one none", run blue_green::after_the_switch_the_old_set_gets_nothing),
        scenario!("D2", "a release that is not healthy in time is taken back, and the old one lost no request", run failure::a_release_that_answers_errors_to_its_probes_never_serves),
        scenario!("D3", "a first release that never gets healthy gets no route", run failure::a_first_release_that_is_never_well_gets_no_route),
        scenario!("D4", "bad settings change neither the service nor what is kept of it", run failure::bad_settings_touch_neither_the_service_nor_the_journal),
        scenario!("D5", "requests that end within the drain time all end", run drain::requests_that_end_in_time_are_waited_for),
        scenario!("D6", "requests without end hold an instance for the drain time and no longer", run drain::requests_without_end_are_cut_at_the_drain_time),
        scenario!("D7", "what a drain does to an open tunnel", Local "`tests/proxy_tunnels.rs`: it outlives the split up to its deadline"),
        scenario!("D8", "with no request under way a drain takes no time", run drain::without_requests_nothing_is_waited_for),
        scenario!("D9", "requests held back for a while", Nowhere "a router answers or shows the maintenance page; it holds nothing back"),
        scenario!("D10", "a deployment while requests are held back", Nowhere "as D9"),
        scenario!("D11", "requests held back when the service is stopped", Nowhere "as D9"),
        scenario!("D12", "health of a paused service as an outer balancer sees it", Nowhere "as D9"),
        scenario!("D13", "a data plane that starts again answers with the split it had", Local "`tests/router.rs`: a new helper listens again with the last split"),
        scenario!("D14", "a host name that another service has is refused", Nginx "one listener of `deployer-local` is one workload, and a taken address is refused (`tests/e2e/bad_input.rs`)"),
        scenario!("D15", "at a share of zero only listed clients reach the canary, and after the end nobody", run canary::at_no_share_only_the_listed_reach_it),
        scenario!("D16", "a client that was in at 10 % is in at 20 %", Nowhere "as K40"),
        scenario!("D17", "the same version again touches neither instances nor routes", run repair::the_same_release_again_leaves_instances_and_routes_alone),
        scenario!("D18", "workers never start when the first web instance is not healthy", run pipeline::workers_wait_for_the_first_healthy_web_instance),
        scenario!("D19", "a held lock refuses at once and names who has it since when; nobody waits for it", run lock::a_held_lock_is_refused_at_once_and_by_name),
        scenario!("D20", "however a deployment ends, its lock is free", run lock::however_it_ends_the_lock_is_given_back),
        scenario!("D21", "told to end or killed in any phase: the lock is free, and the next run ends it", run recovery::told_to_end_or_killed_in_any_phase_the_lock_is_free_and_the_next_run_ends_it),
        scenario!("D22", "a rollback to an unknown release stops nothing", run pipeline::a_rollback_to_an_unknown_release_stops_nothing_and_runs_nothing_after_it),
        scenario!("D23", "a rollback uses that release's own artifact and config, and the history shows both moves", run pipeline::a_rollback_takes_that_release_whole_and_the_history_has_both_moves),
        scenario!("D24", "pruning spares what runs", Docker "images and containers that are not ours to count in the core"),
        scenario!("D25", "one at a time, the first failure has touched exactly one instance, however often it is tried", run rolling::one_at_a_time_the_first_failure_touches_one),
        scenario!("D26", "failures that are tolerated are replaced until all is new", run rolling::failures_that_are_tolerated_are_replaced_to_the_end),
    ]
}

fn second_half() -> Vec<Scenario> {
    vec![
        scenario!("D27", "of four with a ratio of 40 %: one failure is tolerated, the second turns it round", run rolling::the_failure_above_the_ratio_turns_it_round),
        scenario!("D28", "a way back that fails is stuck, and never turns again", run way_back::a_way_back_that_fails_is_stuck_and_never_turns_again),
        scenario!("D29", "a failure counts in the pause between batches and while it is watched, and not after", run rolling::a_failure_counts_in_its_window_and_not_after),
        scenario!("D30", "old instances stop after new ones serve, though their stop takes an hour", run rolling::old_ones_stop_after_new_ones_serve_though_it_takes_hours),
        scenario!("D31", "without a surge an old instance that ignores its signal is waited for until its grace time ends", run rolling::stop_first_waits_for_the_grace_time_and_no_longer),
        scenario!("D32", "a change of settings alone replaces no instance", run repair::other_settings_replace_no_instance),
        scenario!("D33", "a new description wins over the one under way, and the same one goes on", run superseding::a_new_description_wins_and_the_same_one_goes_on),
        scenario!("D34", "a step with one of two instances ready cannot be promoted, and says so", run promotion::a_step_short_of_instances_cannot_be_promoted_and_says_how_many),
        scenario!("D35", "promotion waits for the canaries of every group", Nowhere "the rollouts of a pipeline follow one another; each is promoted by itself"),
        scenario!("D36", "the last good release returns; where there is none, or it is the same, it says so and does not loop", run way_back::the_last_good_release_returns_without_a_loop),
        scenario!("D37", "while it is paused the progress deadline stands still, and then it counts in full", run health::a_pause_stops_the_deadline_which_then_starts_in_full),
        scenario!("D38", "of several groups the earliest unfinished deadline rules", Nowhere "as D35: each rollout has its own deadline"),
        scenario!("D39", "after a late promotion the deadline counts from the promotion", run promotion::the_deadline_counts_from_the_promotion),
        scenario!("D40", "too many failures end it before any deadline", run failure::attempts_run_out_before_any_deadline),
        scenario!("D41", "a flap within the ready time starts it anew, and a check that passes before the process runs counts for nothing", run health::flapping_and_early_successes_are_not_health),
        scenario!("D42", "nothing is placed or replaced while it is paused; a new release clears up first", run superseding::nothing_is_placed_while_it_is_paused_and_a_new_release_clears_up_first),
        scenario!("D43", "another process goes on with the failures counted so far and a deadline of its own", run recovery::another_process_goes_on_with_the_same_counts_and_a_deadline),
        scenario!("D44", "what cannot run side by side stops first and the preview says why; blue-green is refused for it", run rolling::what_cannot_run_side_by_side_stops_first_and_says_why),
        scenario!("D45", "several leftovers of interrupted runs go before anything new comes", run superseding::all_leftovers_go_before_anything_new_comes),
        scenario!("D46", "a stage before the rollout that fails or hangs touches no instance", run pipeline::a_hook_that_fails_touches_no_instance_and_shows_what_it_said),
        scenario!("D47", "nothing new means an empty preview; scaled down, old ones go first; a no of a person counts", run scaling::nothing_to_do_old_ones_first_and_a_no_that_counts),
        scenario!("D48", "what an interrupted recreate left is used or removed by the next run", run recreate::what_an_interrupted_one_left_is_used_or_removed),
        scenario!("D49", "a broken configuration is refused and the old one is back", Nginx "its configuration file"),
        scenario!("D50", "a reload that was accepted and did not work is noticed", Nginx "the proof of its generation"),
        scenario!("D51", "twenty switches under load on kept connections lose nothing", Local "`tests/proxy_switch.rs`, and whole deployments in `tests/e2e/zero_loss.rs`"),
        scenario!("D52", "old workers end in time with an open tunnel, and the old instance stops after them", Nginx "in `deployer-local` a tunnel is cut at the drain bound (`tests/e2e/connections.rs`)"),
    ]
}
