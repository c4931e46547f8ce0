//! What gates say, and what people do meanwhile.

use deployer::{
    event::{Event, EventKind},
    model::{AttachPoint, RolloutSettings},
    strategy::Cause,
};

use crate::support::{Scene, answers, canary, canary_of, seconds, step};
use deployer::strategy::StepPause;

pub(crate) async fn not_knowing_is_neither_yes_nor_no() {
    let scene = Scene::serving(4).await;
    let (gate, asked) = answers("--??-+");
    let deployment = scene.deployment("v2", canary_of(vec![step(50, None, StepPause::None)]));
    let ended = scene
        .run_with(deployment.gate(AttachPoint::EachStep, "g", gate), async |person| {
            person.weight("v2", 50).await;
            person.wait(35).await;
            assert_eq!(scene.frame().weight("v2"), 50, "neither on nor back");
        })
        .await;
    ended.succeeded();
    assert_eq!(asked.given(), 6);
    assert_eq!(ended.film.weights("v2"), [0, 50, 100]);
    let half = ended.film.first(|frame| frame.weight("v2") == 50).at;
    let full = ended.film.first(|frame| frame.weight("v2") == 100).at;
    assert!(full.since(half) >= seconds(50));
    scene.assert_live("v2");
}

pub(crate) async fn a_gate_in_trouble_is_asked_again_but_not_for_ever() {
    let settings = RolloutSettings { gate_deadline: seconds(120), ..RolloutSettings::default() };
    for (script, passes) in [("???+", true), ("?", false)] {
        let scene = Scene::serving(4).await;
        let (gate, asked) = answers(script);
        let deployment = scene.deployment("v2", canary_of(vec![])).settings(settings.clone());
        let ended = scene.run(deployment.gate(AttachPoint::FullTraffic, "g", gate)).await;
        if passes {
            ended.succeeded();
            assert_eq!(asked.given(), 4);
            scene.assert_live("v2");
            continue;
        }
        let Cause::GateTimedOut { reason, .. } = ended.rolled_back() else { panic!("{:?}", ended.result) };
        assert!(reason.contains("status 500"), "{reason}");
        assert!((11..=13).contains(&asked.given()), "asked {} times in two minutes", asked.given());
        scene.assert_live("v1");
    }
    // A no leads back at any point up to the end of the bake time.
    for at in [AttachPoint::BeforeTraffic, AttachPoint::EachStep, AttachPoint::FullTraffic, AttachPoint::Bake]
    {
        let scene = Scene::serving(4).await;
        let (gate, _) = answers("!");
        let deployment = scene.deployment("v2", canary_of(vec![step(50, None, StepPause::None)]));
        scene.run(deployment.gate(at, "g", gate)).await.rolled_back();
        scene.assert_live("v1");
    }
}

pub(crate) async fn what_is_known_skips_steps_and_checks_and_the_rest_does_not() {
    for (release, window, skips) in [("v2", 1, true), ("v1", 1, false), ("v1", 2, true)] {
        let scene = Scene::serving(4).await;
        scene.go_live("v2").await;
        scene.go_live("v3").await;
        let (gate, asked) = answers("+");
        let steps = vec![step(25, None, StepPause::For(seconds(100)))];
        let settings = RolloutSettings { rollback_window: window, ..RolloutSettings::default() };
        let deployment = scene.deployment(release, canary_of(steps)).settings(settings).revision(1);
        let ended = scene.run(deployment.gate(AttachPoint::EachStep, "g", gate)).await;
        ended.succeeded();
        let expected: &[u32] = if skips { &[0, 100] } else { &[0, 25, 100] };
        assert_eq!(ended.film.weights(release), expected, "{release} within {window}");
        assert_eq!(asked.given(), usize::from(!skips));
        assert_eq!(ended.took < seconds(100), skips);
        scene.assert_live(release);
    }
}

/// The kinds of events that mark a way, in order.
fn milestones(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match &event.kind {
        EventKind::DeploymentStarted { .. } => Some("started"),
        EventKind::StageStarted => Some("stage started"),
        EventKind::RolloutStarted { .. } => Some("rollout started"),
        EventKind::Advanced { why, .. } if why.contains("by request") => Some("asked"),
        EventKind::RolloutFinished { .. } => Some("rollout finished"),
        EventKind::StageSucceeded { .. } => Some("stage succeeded"),
        EventKind::StageFailed { .. } => Some("stage failed"),
        EventKind::DeploymentFinished { .. } => Some("finished"),
        _ => None,
    };
    events.iter().filter_map(name).collect()
}

pub(crate) async fn abort_retry_and_promote_are_told_in_order_and_once() {
    let scene = Scene::serving(4).await;
    let first = scene
        .run_with(scene.deployment("v2", canary(&[50])), async |person| {
            person.weight("v2", 50).await;
            person.abort();
        })
        .await;
    first.aborted();
    let second = scene
        .run_with(scene.deployment("v2", canary(&[50])), async |person| {
            person.weight("v2", 50).await;
            person.wait(10).await;
            person.control.promote();
        })
        .await;
    second.succeeded();
    for (ended, last) in [(&first, "stage failed"), (&second, "stage succeeded")] {
        let began = ["started", "stage started", "rollout started", "asked"];
        let ending = ["rollout finished", last, "finished"];
        assert_eq!(milestones(&ended.events), [&began[..], &ending[..]].concat());
        let numbers: Vec<u64> = ended.events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    }
    let commands = second.touches();
    let distinct: std::collections::BTreeSet<_> = commands.iter().collect();
    assert_eq!(distinct.len(), commands.len(), "nothing is done twice: {commands:?}");
    scene.assert_live("v2");
}
