//! Edges of decisions that no larger test comes to.

#![allow(clippy::unwrap_used, reason = "a test")]

mod situation;

use std::time::Duration;

use deployer_core::{
    model::{InstancePhase, Member, SetId, Share, Split, Timestamp},
    strategy::{
        Canary, Cause, Command, Decision, Direction, InstanceSeen, Observation, Rolling, Seen, WaitReason,
        invariant, step,
    },
};
use situation::{NOW, decide, plan, seen, state};

fn instance<'a>(seen: &'a mut Observation, id: &str) -> &'a mut InstanceSeen {
    let Seen::Known(sets) = &mut seen.sets else { panic!("the sets are known") };
    sets.iter_mut().flat_map(|set| &mut set.instances).find(|i| i.id.as_str() == id).unwrap()
}

#[test]
fn a_restarted_instance_has_failed_once_a_probe_says_what_is_wrong() {
    let plan = plan();
    let turns_back = |judged, trouble: &str| {
        let mut seen = seen(&[("v1", 3, 3, 3), ("v2", 1, 0, 0)]);
        let restarted = instance(&mut seen, "v2-0");
        (restarted.restarts, restarted.ready_since) = (1, None);
        (restarted.judged, restarted.trouble) = (judged, trouble.into());
        match step(&Rolling::default(), &plan, &state(&plan), &seen) {
            Decision::Advance { state, .. } => matches!(
                state.direction,
                Direction::Backward { cause: Cause::InstancesFailed { failed: 1, .. } }
            ),
            _ => false,
        }
    };
    assert!(turns_back(true, "status 500"));
    assert!(!turns_back(true, ""), "nothing is known against it yet");
    assert!(!turns_back(false, "status 500"), "that was the run before");
}

#[test]
fn the_next_verification_is_that_of_an_instance_that_counts_and_is_not_verified() {
    let plan = plan();
    let mut state = state(&plan);
    state.progress_until = Timestamp::from_millis(900_000);
    let mut seen = seen(&[("v1", 3, 3, 3), ("v2", 3, 0, 0)]);
    let deadline = plan.settings.start_deadline;
    let starting = instance(&mut seen, "v2-0");
    (starting.ready_since, starting.started_at) = (None, NOW);
    let stopping = instance(&mut seen, "v2-1");
    (stopping.ready_since, stopping.phase) = (None, InstancePhase::Stopping { until: NOW });
    stopping.started_at = Timestamp::from_millis(NOW.as_millis() - 1000);
    instance(&mut seen, "v2-2").ready_since = Some(NOW);
    let decision = decide(&Rolling::default(), &plan, state, &seen);
    let Decision::Wait { why: WaitReason::Verifying { .. }, until } = &decision else {
        panic!("v2-0 is waited for: {decision:?}")
    };
    assert_eq!(*until, NOW.after(deadline), "not {:?} before", Duration::from_secs(1));
}

#[test]
fn a_share_is_too_large_unless_those_that_are_missing_left_by_themselves() {
    let plan = plan();
    let state = state(&plan);
    let share = |set: &str, weight, count| Share {
        set: SetId::new(set).unwrap(),
        weight,
        members: (0..count)
            .map(|n| Member { instance: format!("{set}-{n}").parse().unwrap(), address: None })
            .collect(),
    };
    let half =
        |count| Split::Serve { shares: vec![share("v1", 50, 3), share("v2", 50, count)], routes: Vec::new() };
    let check = |seen: &Observation, split: &Split| {
        let commands = [Command::Shift(split.clone())];
        invariant::check(&Canary::default(), &plan, &state, seen, &commands)
            .map_err(|broken| broken.invariant)
    };
    assert_eq!(check(&seen(&[("v1", 3, 3, 100), ("v2", 2, 0, 0)]), &half(1)), Err("weight"));
    assert_eq!(check(&seen(&[("v1", 3, 3, 100), ("v2", 2, 0, 0)]), &half(2)), Ok(()));
    // Two old ones died: what is left may have what it had, and more.
    let mut fewer = seen(&[("v1", 3, 3, 50), ("v2", 3, 3, 50)]);
    for dead in ["v1-1", "v1-2", "v2-1", "v2-2"] {
        instance(&mut fewer, dead).ready_since = None;
    }
    let all = Split::Serve { shares: vec![share("v1", 1, 3)], routes: Vec::new() };
    assert_eq!(check(&fewer, &all), Err("capacity"), "the new one still serves");
    let more = Split::Serve { shares: vec![share("v1", 2, 3), share("v2", 1, 3)], routes: Vec::new() };
    assert_eq!(check(&fewer, &more), Ok(()));
}
