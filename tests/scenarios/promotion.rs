//! People who want it faster.

use deployer::{
    checks::check_fn,
    event::EventKind,
    gates::{ErrorRate, ErrorRateSettings},
    model::{AttachPoint, RolloutSettings},
    strategy::{Cause, Probe, StepPause, WaitReason},
};
use deployer_testkit::world::{Behaviour, CallKind};
use futures::StreamExt as _;

use crate::support::{Scene, canary, canary_of, seconds, step};

pub(crate) async fn full_promotion_waits_for_instances_before_it_moves_traffic() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[25])), async |person| {
            person.weight("v2", 25).await;
            scene.behave("v2", Behaviour { start: Some(seconds(15)), ..Behaviour::default() });
            person.control.promote_fully();
        })
        .await;
    ended.succeeded();
    assert_eq!(ended.film.weights("v2"), [0, 25, 100]);
    assert_eq!(ended.film.first(|frame| frame.weight("v2") == 100).available("v2"), 4);
    assert!(ended.took >= seconds(15));
    scene.assert_live("v2");
}

pub(crate) async fn skipping_analysis_skips_no_readiness() {
    for is_well in [true, false] {
        let scene = Scene::serving(4).await;
        scene.behave("v2", Behaviour { never_ready: !is_well, ..Behaviour::default() });
        let gate = ErrorRate::new(scene.world.metrics(), ErrorRateSettings::default()).unwrap();
        let deployment = scene.deployment("v2", canary(&[25, 50]));
        let ended = scene
            .run_with(deployment.gate(AttachPoint::FullTraffic, "errors", gate), async |person| {
                person.control.promote_fully();
            })
            .await;
        assert!(!scene.world.calls().iter().any(|call| call.kind == CallKind::Metrics));
        if is_well {
            ended.succeeded();
            assert_eq!(ended.film.weights("v2"), [0, 100]);
            scene.assert_live("v2");
        } else {
            assert!(matches!(ended.rolled_back(), Cause::InstancesFailed { .. }));
            assert_eq!(ended.film.weights("v2"), [0]);
            scene.assert_live("v1");
        }
    }
}

pub(crate) async fn a_rollout_cut_short_finishes_plainly_and_leaves_nothing() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[10, 20, 30])), async |person| {
            person.weight("v2", 10).await;
            person.control.promote();
            person.weight("v2", 20).await;
            person.control.promote_fully();
        })
        .await;
    ended.succeeded();
    assert_eq!(ended.film.weights("v2"), [0, 10, 20, 100]);
    assert_eq!(ended.film.last().routes(), 0);
    assert!(!ended.film.last().leads_to("v1"));
    scene.assert_live("v2");
}

pub(crate) async fn a_step_short_of_instances_cannot_be_promoted_and_says_how_many() {
    let scene = Scene::serving(4).await;
    let check = check_fn("all but the second", |_, instance| async move {
        let ill = instance.id.as_str() == "v2-2";
        if ill { Probe::Failed { why: "status 503".into() } } else { Probe::Ok }
    });
    let deployment = scene
        .deployment("v2", canary_of(vec![step(10, Some(2), StepPause::UntilPromoted)]))
        .settings(RolloutSettings::default())
        .check(check)
        .build()
        .unwrap();
    let (control, mut events) = (deployment.control(), deployment.events());
    let person = async {
        scene.until("both run", |frame| frame.working("v2") == 2).await;
        let ask: [&dyn Fn(); 2] = [&|| control.promote(), &|| control.promote_fully()];
        for ask in ask {
            ask();
            scene.pass(seconds(30)).await;
            assert!(!scene.frame().leads_to("v2"), "it was not verified");
        }
        control.abort("enough");
    };
    let (result, ()) = tokio::join!(deployment.run(), person);
    assert!(result.is_err());
    let mut said = false;
    while let Some(event) = events.next().await {
        said |= matches!(
            event.kind,
            EventKind::Waiting { why: WaitReason::Verifying { verified: 1, wanted: 2, .. }, .. }
        );
    }
    assert!(said, "1 of 2 was never said");
    scene.assert_live("v1");
}

pub(crate) async fn the_deadline_counts_from_the_promotion() {
    let scene = Scene::serving(4).await;
    let settings = RolloutSettings { progress_deadline: seconds(60), ..RolloutSettings::default() };
    let mut promoted = scene.now();
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[25])).settings(settings), async |person| {
            person.weight("v2", 25).await;
            person.wait(3600).await;
            scene.behave("v2", Behaviour { never_ready: true, ..Behaviour::default() });
            promoted = scene.now();
            person.control.promote();
        })
        .await;
    assert!(matches!(ended.rolled_back(), Cause::NoProgress { .. }), "{:?}", ended.result);
    let after = ended.turned_at().since(promoted);
    assert!(after >= seconds(60) && after < seconds(65), "{after:?}");
    scene.assert_live("v1");
}
