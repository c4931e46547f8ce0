//! Bad releases, bad descriptions, and what comes after them.

use deployer::{
    engine::Deployment,
    gates::{ErrorRate, ErrorRateSettings},
    model::{AttachPoint, Percent, RolloutSettings, Split},
    strategy::Cause,
};
use deployer_testkit::world::{Behaviour, World, WorldSettings};

use crate::support::{Scene, canary, everything, rolling, seconds, serving_strategies};

fn never_ready() -> Behaviour {
    Behaviour { never_ready: true, ..Behaviour::default() }
}

pub(crate) async fn the_last_good_release_always_serves() {
    for strategy in serving_strategies() {
        let scene = Scene::serving(4).await;
        for bad in ["v2", "v3"] {
            scene.behave(bad, never_ready());
            let ended = scene.run(scene.deployment_by(bad, &strategy)).await;
            ended.rolled_back();
            ended.film.always("the good one serves", |frame| frame.available("v1") >= 3);
            scene.assert_live("v1");
        }
        scene.run(scene.deployment_by("v4", &strategy)).await.succeeded();
        scene.assert_live("v4");
    }
}

pub(crate) async fn what_makes_no_sense_has_no_effect_until_it_does() {
    let scene = Scene::serving(4).await;
    let writes = scene.written();
    let mut wrong = World::release("v2".try_into().unwrap()).release;
    wrong.config = "a string".into();
    let ended = scene.run(scene.deployment("v2", rolling(1, 0)).release(wrong)).await;
    assert!(ended.refused()[0].message.contains("config"), "{:?}", ended.refused());
    scene.behave("v2", Behaviour { missing: true, ..Behaviour::default() });
    scene.run(scene.deployment("v2", rolling(1, 0))).await.refused();
    assert_eq!(scene.written(), writes);
    scene.assert_live("v1");
    scene.behave("v2", Behaviour::default());
    scene.run(scene.deployment("v2", rolling(1, 0))).await.succeeded();
    scene.assert_live("v2");
}

pub(crate) async fn failed_checks_take_the_traffic_first_and_do_not_count_for_the_next() {
    let scene = Scene::serving(4).await;
    scene.behave("v2", Behaviour { errors: Percent::new(60).unwrap(), ..Behaviour::default() });
    let judged = |release: &str| {
        let gate = ErrorRate::new(scene.world.metrics(), ErrorRateSettings::default()).unwrap();
        scene.deployment(release, canary(&[10])).gate(AttachPoint::EachStep, "errors", gate)
    };
    let ended = scene.run(judged("v2")).await;
    assert!(matches!(ended.rolled_back(), Cause::GateFailed { .. }), "{:?}", ended.result);
    assert_eq!((ended.film.weights("v2"), ended.film.weights("v1")), (vec![0, 10, 0], vec![100, 90, 100]));
    let back = ended.way_back();
    back.always("traffic leaves before instances do", |f| f.weight("v2") == 0 || f.size("v2") == 1);
    assert_eq!(ended.film.last().existing("v2"), 0);
    let ended = scene
        .run_with(judged("v3"), async |person| {
            person.weight("v3", 10).await;
            person.wait(120).await;
            person.control.promote();
        })
        .await;
    ended.succeeded();
    let (_, first) = &ended.memories()[0];
    assert!(first.failed.is_empty() && first.gates.is_empty() && first.step == 0, "{first:?}");
    scene.assert_live("v3");
}

pub(crate) async fn a_release_that_answers_errors_to_its_probes_never_serves() {
    for strategy in serving_strategies() {
        let scene = Scene::serving(4).await;
        scene.behave("v2", never_ready());
        let ended = scene.run(scene.deployment_by("v2", &strategy)).await;
        assert!(matches!(ended.rolled_back(), Cause::InstancesFailed { .. }));
        ended.film.always("v2 gets no request", |frame| !frame.leads_to("v2"));
        ended.film.always("v1 loses no request", |frame| frame.available("v1") >= 3);
        let after = ended.turned_at().since(ended.began);
        assert!(after >= seconds(20) && after < seconds(26), "{strategy:?}: {after:?}");
        scene.assert_live("v1");
        scene.assert_unharmed();
    }
}

pub(crate) async fn a_first_release_that_is_never_well_gets_no_route() {
    for strategy in everything() {
        let scene = Scene::empty(WorldSettings::default(), 4);
        scene.behave("v1", never_ready());
        scene.run(scene.deployment_by("v1", &strategy)).await.rolled_back();
        let last = scene.frame();
        assert_eq!((last.split.clone(), last.all_existing()), (Split::EMPTY, 0), "{strategy:?}");
        let shifts = scene.writes().into_iter().filter(|call| call.what.starts_with("send")).count();
        assert_eq!(shifts, 0, "{strategy:?}");
    }
}

pub(crate) async fn bad_settings_touch_neither_the_service_nor_the_journal() {
    let scene = Scene::serving(4).await;
    let (calls, deployments) = (scene.world.calls().len(), scene.deployments().await);
    let settings = RolloutSettings {
        min_ready: seconds(3600),
        start_deadline: seconds(60),
        progress_deadline: seconds(60),
        ..RolloutSettings::default()
    };
    let bad = scene.deployment("v2", rolling(1, 0)).replicas(0).settings(settings).id("no good name!");
    let ended = scene.run(bad).await;
    assert_eq!(ended.refused().len(), 4, "all at once: {:?}", ended.refused());
    assert!(Deployment::builder("UPPER case").build().is_err());
    assert_eq!((scene.world.calls().len(), scene.deployments().await), (calls, deployments));
    scene.assert_live("v1");
}

pub(crate) async fn attempts_run_out_before_any_deadline() {
    let scene = Scene::serving(4).await;
    scene.behave("v2", Behaviour { dies_after: Some(seconds(2)), ..Behaviour::default() });
    let settings = RolloutSettings { failure_ratio: Percent::new(50).unwrap(), ..RolloutSettings::default() };
    let ended = scene.run(scene.deployment("v2", canary(&[25])).settings(settings)).await;
    assert!(matches!(ended.rolled_back(), Cause::InstancesFailed { failed: 3, replicas: 4, .. }));
    assert!(ended.took < seconds(30), "long before 300 s and 600 s: {:?}", ended.took);
    scene.assert_live("v1");
}
