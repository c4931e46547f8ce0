//! What the simulation found in decisions, each as the smallest situation that shows it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod situation;

use std::time::Duration;

use deployer_core::{
    model::{Amount, InstanceId, InstancePhase, Percent, Place, SetId, Timestamp, WayBack},
    strategy::{
        Canary, CanarySettings, CanaryStep, Cause, Decision, Direction, Phase, PlaceSeen, Recreate, Request,
        RequestKind, Rolling, RollingSettings, RolloutState, Seen, StepPause, WaitReason, step,
    },
};
use situation::{decide, falls, members, plan, release, seen, split_of, state};

#[test]
fn only_a_resume_of_what_is_paused_puts_off_the_progress_deadline() {
    let plan = plan();
    let mut seen = seen(&[("v1", 3, 3, 100), ("v2", 1, 0, 0)]);
    seen.requests = vec![Request { number: 1, kind: RequestKind::Resume, posted: None }];
    let resumed = |paused_since| {
        let state = RolloutState { paused_since, ..state(&plan) };
        let Decision::Advance { state: next, .. } = step(&Rolling::default(), &plan, &state, &seen) else {
            panic!("the request is not taken in")
        };
        assert_eq!((next.last_request, next.paused_since), (1, None));
        (state.progress_until, next.progress_until)
    };
    let (before, after) = resumed(None);
    assert_eq!(after, before, "whoever repeats it would keep a rollout waiting for ever");
    let (before, after) = resumed(Some(Timestamp::from_millis(95_000)));
    assert!(after > before, "nobody could make progress during a pause");
}

#[test]
fn the_first_batch_takes_out_nobody_of_the_new_set_who_serves_already() {
    let settings = RollingSettings {
        batch: Some(Amount::Count(1)),
        surge: Amount::Count(1),
        ..RollingSettings::default()
    };
    let (strategy, plan) = (Rolling::new(settings).unwrap(), plan());
    for v1 in [0, 1] {
        let seen = seen(&[("v1", v1, v1, v1), ("v2", 3, 3 - v1, 3 - v1)]);
        let decision = decide(&strategy, &plan, state(&plan), &seen);
        let serving = 3 - v1 as usize;
        if let Some(split) = split_of(&decision) {
            assert!(members(split, "v2").len() >= serving, "{decision:?}");
        }
    }
}

#[test]
fn a_gradual_way_back_lets_no_new_instance_in() {
    let mut plan = plan();
    plan.settings.way_back =
        WayBack::Gradual { step: Percent::new(20).unwrap(), every: Duration::from_secs(1) };
    let mut state = state(&plan);
    state.phase = Phase::Shifting;
    state.direction =
        Direction::Backward { cause: Cause::AbortRequested { reason: "a person says so".to_owned() } };
    state.descent = Some((50, Timestamp::from_millis(99_000)));
    // The second one became ready on the way back.
    let seen = seen(&[("v1", 3, 3, 50), ("v2", 2, 1, 50)]);
    let decision = decide(&Canary::default(), &plan, state, &seen);
    let split = split_of(&decision).unwrap_or_else(|| panic!("it goes back a step: {decision:?}"));
    assert_eq!(members(split, "v2"), ["v2-0"]);
    assert_eq!(split.share(&SetId::new("v2").unwrap()).unwrap().weight, 30);
}

#[test]
fn a_canary_that_lost_its_share_gets_it_back_once_it_can_carry_it() {
    let step = CanaryStep { weight: Percent::new(50).unwrap(), instances: None, pause: StepPause::None };
    let canary = Canary::new(CanarySettings { steps: vec![step], ..CanarySettings::default() }).unwrap();
    let plan = plan();
    let mut state = state(&plan);
    state.phase = Phase::Baking;
    let mut seen = seen(&[("v1", 3, 3, 50), ("v2", 2, 0, 0)]);
    let whole = decide(&canary, &plan, state.clone(), &seen);
    assert_eq!(members(split_of(&whole).unwrap(), "v2"), ["v2-0", "v2-1"]);
    falls(&mut seen, "v2-1");
    let decision = decide(&canary, &plan, state, &seen);
    assert!(matches!(decision, Decision::Wait { .. }), "one of two cannot carry a half: {decision:?}");
}

#[test]
fn unwell_members_do_not_draw_traffic_from_those_that_are_well() {
    let plan = plan();
    let state = state(&plan);
    // A canary of v0 was superseded on its way back.
    let mut seen = seen(&[("v0", 2, 2, 40), ("v1", 3, 3, 60)]);
    falls(&mut seen, "v1-2");
    let decision = decide(&Canary::default(), &plan, state, &seen);
    let split = split_of(&decision).unwrap_or_else(|| panic!("one of v0 can go: {decision:?}"));
    let weight = |set: &str| split.share(&SetId::new(set).unwrap()).map(|share| share.weight);
    assert_eq!((weight("v0"), weight("v1")), (Some(1), Some(2)), "{split:?}");
    assert_eq!(members(split, "v1").len(), 3, "whether it is taken out is for the router to say");
}

#[test]
fn without_a_router_the_first_batch_stops_nobody_of_the_new_set() {
    let settings = RollingSettings {
        batch: Some(Amount::Count(1)),
        surge: Amount::Count(1),
        ..RollingSettings::default()
    };
    let (strategy, mut plan) = (Rolling::new(settings).unwrap(), plan());
    (plan.router, plan.stable, plan.stable_set) = (None, None, None);
    // A rollout of the same release was superseded when it was nearly done.
    let mut seen = seen(&[("v2", 3, 0, 0)]);
    seen.traffic = None;
    let mut state = state(&plan);
    let decision = decide(&strategy, &plan, state.clone(), &seen);
    assert!(!matches!(decision, Decision::Act { .. }), "{decision:?}");
    state.step = 1;
    falls(&mut seen, "v2-2");
    let decision = decide(&strategy, &plan, state, &seen);
    assert!(!matches!(decision, Decision::Act { .. }), "{decision:?}");
}

#[test]
fn a_failed_instance_is_not_replaced_where_the_set_could_grow_by_what_nobody_can_see() {
    let plan = plan();
    let mut state = state(&plan);
    // A person asked for fewer; two of those that went are at a place that cannot be looked at since.
    state.replicas = 1;
    state.failed = vec![InstanceId::new("v2-0").unwrap()];
    let mut seen = seen(&[("v2", 3, 0, 0)]);
    let Seen::Known(sets) = &mut seen.sets else { panic!("the sets are known") };
    for (number, instance) in sets[0].instances.iter_mut().enumerate() {
        instance.ready_since = None;
        instance.unknown = number > 0;
    }
    let place = Place::new("host-1").unwrap();
    seen.unknown_places = vec![PlaceSeen { place, why: "cut off".into(), remembered: true }];
    let decision = decide(&Recreate::default(), &plan, state.clone(), &seen);
    let Decision::Wait { why: WaitReason::TargetUnknown { why }, .. } = &decision else {
        panic!("2 instances would be asked for, and 1 counts: {decision:?}")
    };
    assert_eq!(why, "host-1: cut off");
    // Nor where it is only one too many.
    let healthy = RolloutState { failed: Vec::new(), ..state.clone() };
    let mut ready = seen.clone();
    let Seen::Known(sets) = &mut ready.sets else { panic!("the sets are known") };
    sets[0].instances[0].ready_since = Some(Timestamp::from_millis(2000));
    let decision = decide(&Recreate::default(), &plan, healthy, &ready);
    assert!(matches!(decision, Decision::Wait { .. }), "it could grow: {decision:?}");
    // What is known to run counts.
    let Seen::Known(sets) = &mut seen.sets else { panic!("the sets are known") };
    sets[0].instances.iter_mut().for_each(|instance| instance.unknown = false);
    seen.unknown_places.clear();
    let decision = decide(&Recreate::default(), &plan, state, &seen);
    assert!(matches!(decision, Decision::Act { .. }), "it is replaced: {decision:?}");
}

#[test]
fn on_the_way_back_the_new_set_gets_no_larger_share_by_the_count_of_its_members() {
    let plan = plan();
    let mut state = state(&plan);
    state.direction =
        Direction::Backward { cause: Cause::AbortRequested { reason: "a person says so".to_owned() } };
    // A person asked for fewer at a step of a canary. There is no room to make the old set whole first.
    (state.replicas, state.largest) = (2, 2);
    let mut plan = plan;
    plan.replicas = 2;
    let seen = seen(&[("v1", 1, 1, 89), ("v2", 3, 1, 11)]);
    let decision = decide(&Canary::default(), &plan, state, &seen);
    let kept = split_of(&decision).is_none_or(|split| {
        let weight = split.share(&SetId::new("v2").unwrap()).map_or(0, |share| u64::from(share.weight));
        weight * 100 <= 11 * split.total_weight()
    });
    assert!(kept, "{decision:?}");
}

#[test]
fn a_canary_gives_an_old_set_that_lost_instances_no_more_than_it_can_carry() {
    let step = |weight| CanaryStep {
        weight: Percent::new(weight).unwrap(),
        instances: None,
        pause: StepPause::None,
    };
    let canary = Canary::new(CanarySettings { steps: vec![step(10)], ..CanarySettings::default() }).unwrap();
    let plan = plan();
    let mut state = state(&plan);
    state.phase = Phase::Shifting;
    // A canary of the same release was superseded at 46 %, with one old instance left.
    let seen = seen(&[("v1", 1, 1, 54), ("v2", 3, 2, 46)]);
    let decision = decide(&canary, &plan, state, &seen);
    let split = split_of(&decision).unwrap_or_else(|| panic!("a third one can serve: {decision:?}"));
    let weight = |set: &str| split.share(&SetId::new(set).unwrap()).map(|share| share.weight);
    assert_eq!((weight("v1"), weight("v2")), (Some(54), Some(46)));
}

#[test]
fn leftovers_that_keep_the_service_up_are_not_taken_out_by_a_canary() {
    let plan = plan();
    let mut state = state(&plan);
    state.phase = Phase::Shifting;
    let mut seen = seen(&[("v0", 3, 3, 3), ("v1", 3, 3, 3), ("v2", 2, 0, 0)]);
    for dead in ["v1-0", "v1-1", "v1-2"] {
        falls(&mut seen, dead);
    }
    let decision = decide(&Canary::default(), &plan, state, &seen);
    assert!(matches!(decision, Decision::Wait { .. }), "two would serve instead of three: {decision:?}");
}

#[test]
fn a_step_at_which_all_died_starts_instances_again() {
    let asked =
        CanaryStep { weight: Percent::new(50).unwrap(), instances: None, pause: StepPause::UntilPromoted };
    let canary = Canary::new(CanarySettings { steps: vec![asked], ..CanarySettings::default() }).unwrap();
    let mut plan = plan();
    plan.settings.failure_ratio = Percent::new(100).unwrap();
    let mut state = state(&plan);
    state.phase = Phase::Baking;
    let mut seen = seen(&[("v2", 1, 1, 50)]);
    let Seen::Known(sets) = &mut seen.sets else { panic!("the sets are known") };
    sets[0].instances[0].phase = InstancePhase::Failed { reason: "killed".to_owned() };
    let decision = decide(&canary, &plan, state.clone(), &seen);
    assert!(matches!(decision, Decision::Act { .. }), "nobody else starts them: {decision:?}");
    // Nor does asking again and again put off the progress deadline.
    state.promoted = Some(state.step);
    seen.requests = vec![Request { number: 1, kind: RequestKind::Promote, posted: None }];
    let Decision::Advance { state: next, .. } = step(&canary, &plan, &state, &seen) else {
        panic!("the request is not taken in")
    };
    assert_eq!((next.last_request, next.progress_until), (1, state.progress_until));
}

#[test]
fn without_a_router_a_set_that_shrinks_keeps_those_that_serve() {
    let mut plan = plan();
    plan.router = None;
    let mut state = state(&plan);
    (state.candidate, state.stable) = (SetId::new("v1").unwrap(), Some(SetId::new("v1").unwrap()));
    state.artifact = Some(release("v1").artifact);
    // A person asked for three of five; two of these cannot be looked at.
    let mut seen = seen(&[("v1", 5, 0, 0)]);
    seen.traffic = None;
    let Seen::Known(sets) = &mut seen.sets else { panic!("the sets are known") };
    sets[0].instances[..2].iter_mut().for_each(|instance| instance.unknown = true);
    let place = Place::new("host-1").unwrap();
    seen.unknown_places = vec![PlaceSeen { place, why: "cut off".into(), remembered: true }];
    let decision = decide(&Rolling::default(), &plan, state.clone(), &seen);
    assert!(matches!(decision, Decision::Wait { .. }), "one would be left that serves: {decision:?}");
    let Seen::Known(sets) = &mut seen.sets else { panic!("the sets are known") };
    sets[0].instances.iter_mut().for_each(|instance| instance.unknown = false);
    seen.unknown_places.clear();
    let decision = decide(&Rolling::default(), &plan, state, &seen);
    assert!(matches!(decision, Decision::Act { .. }), "two go: {decision:?}");
}

#[test]
fn what_was_told_to_start_where_nobody_can_look_counts() {
    let mut plan = plan();
    plan.router = None;
    let state = state(&plan);
    let mut seen = seen(&[("v1", 3, 0, 0), ("v2", 0, 0, 0)]);
    seen.traffic = None;
    let place = Place::new("host-1").unwrap();
    seen.unknown_places = vec![PlaceSeen { place, why: "cut off".into(), remembered: true }];
    let decision = decide(&Rolling::default(), &plan, state.clone(), &seen);
    assert!(matches!(decision, Decision::Act { .. }), "there is room for one: {decision:?}");
    let Seen::Known(sets) = &mut seen.sets else { panic!("the sets are known") };
    sets[1].hidden = 1;
    let decision = decide(&Rolling::default(), &plan, state, &seen);
    assert!(matches!(decision, Decision::Wait { .. }), "it may be there already: {decision:?}");
}
