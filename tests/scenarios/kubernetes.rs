//! Scenarios of tools for Kubernetes.

use crate::list::{Scenario, scenario};

/// K1 to K56, in order.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut all = first_half();
    all.extend(second_half());
    all
}

fn first_half() -> Vec<Scenario> {
    vec![
        scenario!("K1", "a step's share alone changes no size; sizes follow the steps and never shrink, and stable stays whole", run canary::size_and_share_are_set_apart),
        scenario!("K2", "a canary scaled up and down at a step keeps its share; the old set is whole at any size", run scaling::a_canary_scaled_at_a_step_keeps_its_share_and_the_old_set_whole),
        scenario!("K3", "new instances that do not come up never shrink the old set, whatever it is scaled to", run rolling::new_ones_that_do_not_come_up_never_shrink_the_old),
        scenario!("K4", "a share falls without loss of capacity, on the way back; steps that fall are refused", run way_back::a_share_that_falls_costs_no_capacity),
        scenario!("K5", "lack of progress ends a rollout; being late within the deadline, or waiting for a person, does not", run health::lack_of_progress_ends_it_and_waiting_for_a_person_does_not),
        scenario!("K6", "an old set kept warm for longer than the progress deadline is no failure", run blue_green::a_bake_time_longer_than_the_progress_deadline_is_no_failure),
        scenario!("K7", "an old set that waits to go is used again and not built anew", run way_back::an_old_set_that_waits_to_go_is_used_again),
        scenario!("K8", "how many old sets are kept", Nowhere "one old set is kept until its bake time ends; older releases live in the journal"),
        scenario!("K9", "an abort leads all traffic back and removes what is new, with a router and without", run way_back::an_abort_leads_back_with_and_without_a_router),
        scenario!("K10", "new instances left running after an abort", Nowhere "nothing but the intended set is left at an end; what failed instances knew is in the report"),
        scenario!("K11", "the third release begins at its first step once the second is gone, and the first serves on", run superseding::the_next_canary_starts_at_its_first_step),
        scenario!("K12", "on the way back new instances leave only as old ones arrive", run way_back::new_ones_leave_only_as_old_ones_arrive),
        scenario!("K13", "the share of the new set is held while the old one is short, and there is no deadlock", run way_back::the_share_is_held_while_the_old_set_is_short_and_there_is_no_deadlock),
        scenario!("K14", "on the way back nothing moves until the last old instance is ready", run way_back::nothing_moves_before_the_last_old_one_is_ready),
        scenario!("K15", "abort, another try and a promotion are told in order, each once", run gates::abort_retry_and_promote_are_told_in_order_and_once),
        scenario!("K16", "promoting fully skips steps, and still waits for instances before traffic moves", run promotion::full_promotion_waits_for_instances_before_it_moves_traffic),
        scenario!("K17", "through good and bad releases the last good one always serves", run failure::the_last_good_release_always_serves),
        scenario!("K18", "a description that makes no sense has no effect; mended, it goes through", run failure::what_makes_no_sense_has_no_effect_until_it_does),
        scenario!("K19", "a no before the switch: the old set keeps all traffic", run blue_green::a_no_before_the_switch_leaves_the_traffic_where_it_was),
        scenario!("K20", "a no after the switch: one switch back to an old set that is whole", run blue_green::a_no_after_the_switch_is_one_switch_back_to_a_whole_set),
        scenario!("K21", "after an aborted blue-green the next one starts clean", run superseding::after_an_abort_the_next_starts_clean),
        scenario!("K22", "a preview of one instance of five grows to five, ready, before the switch", run blue_green::a_small_candidate_is_whole_before_the_switch),
        scenario!("K23", "a check that cannot tell is neither a yes nor a no; a later yes goes on", run gates::not_knowing_is_neither_yes_nor_no),
        scenario!("K24", "steps and checks are skipped for a release within the rollback window, and run for an older one", run gates::what_is_known_skips_steps_and_checks_and_the_rest_does_not),
        scenario!("K25", "while the router cannot be asked, or does not confirm the switch, the old set stays", run blue_green::the_old_set_stays_until_the_switch_is_proven),
        scenario!("K26", "a canary without a living instance loses its share before anything takes its place", run superseding::a_dead_canary_loses_its_share_before_the_next_begins),
        scenario!("K27", "routes past the shares are gone however it ends; foreign ones are for each backend", run canary::routes_are_gone_however_it_ends),
        scenario!("K28", "stages are undone in reverse order, once each", run pipeline::stages_are_undone_in_reverse_order_once_each),
    ]
}

fn second_half() -> Vec<Scenario> {
    vec![
        scenario!("K29", "release and number of replicas changed at once: both hold", run scaling::release_and_replicas_change_in_one_deployment),
        scenario!("K30", "two services that change roles", Kubernetes "selectors and services are not known to the core"),
        scenario!("K31", "the first release is ready before anything leads to it", run health::the_first_release_is_ready_before_anything_leads_to_it),
        scenario!("K32", "failed checks take the traffic first, then the instances, and do not count for the next release", run failure::failed_checks_take_the_traffic_first_and_do_not_count_for_the_next),
        scenario!("K33", "with analysis skipped no metric is asked, and readiness is required all the same", run promotion::skipping_analysis_skips_no_readiness),
        scenario!("K34", "the traffic goes back from the canary to a copy of it", Nowhere "the candidate itself becomes the live set: there is no copy to go back to"),
        scenario!("K35", "for a newer release the share goes to zero and the checks begin anew", run superseding::the_share_goes_to_zero_and_the_checks_begin_anew),
        scenario!("K36", "the side that has all the traffic keeps it until the other is ready", run way_back::a_side_with_all_the_traffic_keeps_it_until_the_other_is_ready),
        scenario!("K37", "shares of 1, 2, 10 and 80 % leave stable 99, 98, 90 and 20 %", run canary::the_stable_share_falls_step_by_step),
        scenario!("K38", "a gate in trouble is asked again until its deadline; a no leads back from anywhere before the end", run gates::a_gate_in_trouble_is_asked_again_but_not_for_ever),
        scenario!("K39", "mirrored traffic before live traffic", Nowhere "a split has no mirror: whether a copied request does harm is for the application to know"),
        scenario!("K40", "a client that saw the canary stays there", Nowhere "shares are drawn per request; routes by header or cookie choose clients"),
        scenario!("K41", "what was adopted is given back with the instances and routes that it had", run way_back::what_was_adopted_is_given_back_as_it_was),
        scenario!("K42", "a step taken by hand is exactly the next one; an earlier one is reached by an abort only", run canary::a_step_by_hand_is_exactly_one_step),
        scenario!("K43", "a rollout cut short by promotion finishes plainly and leaves no route", run promotion::a_rollout_cut_short_finishes_plainly_and_leaves_nothing),
        scenario!("K44", "a third release during blue-green: the old set takes over again before it comes", run superseding::the_old_set_takes_over_before_the_third_comes),
        scenario!("K45", "in batches of 30 %, failures up to the ratio of 20 % are replaced, and one more turns it round", run rolling::a_batch_ends_whole_despite_failures_within_the_ratio),
        scenario!("K46", "an autoscaler that is off meanwhile and restored", Kubernetes "it belongs to the cluster; the core takes the size that the target has"),
        scenario!("K47", "of ten with a surge of two: beside ten old there is room for two, beside five for seven", run rolling::the_ceiling_counts_what_exists),
        scenario!("K48", "recreate never has two versions at once", run recreate::no_two_versions_ever_run),
        scenario!("K49", "a release that is not up yet is dropped for the next and not finished", run superseding::a_release_that_is_not_up_yet_is_dropped_and_not_finished),
        scenario!("K50", "scaled in the middle of a rolling update: what is added is new, and floor and ceiling hold", run scaling::what_is_added_in_the_middle_is_of_the_new_release),
        scenario!("K51", "shares of real requests are what the split says, and none goes to a share of zero", Local "`tests/proxy_routing.rs`"),
        scenario!("K52", "killed after each single action and started again: the same end, and nothing made twice", run recovery::killed_after_each_action_it_ends_the_same_and_repeats_nothing),
        scenario!("K53", "a steady load over whole rollouts and ways back loses no request", EndToEnd "`tests/e2e/zero_loss.rs` and `bad_releases.rs`, with the number of requests"),
        scenario!("K54", "of two deployers one is kept out, and one that was replaced is fenced", run lock::of_two_deployers_one_is_kept_out_and_the_replaced_one_is_fenced),
        scenario!("K55", "a bake time goes on where it was when its deployer died, and is neither reset nor skipped", run recovery::a_bake_time_goes_on_where_it_was),
        scenario!("K56", "connections that do not end are drained after a promotion for the time stated and no longer", run drain::long_connections_end_within_the_drain_time_after_the_promotion),
    ]
}
