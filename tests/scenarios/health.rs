//! When an instance may serve, and how long it has to get there.

use deployer::{
    checks::check_fn,
    model::{Percent, RolloutSettings},
    strategy::{Cause, Probe},
};
use deployer_testkit::world::{Behaviour, Latency, WorldSettings};

use crate::support::{Scene, canary, everything, rolling, seconds};

fn deadline(progress: u64) -> RolloutSettings {
    RolloutSettings { progress_deadline: seconds(progress), ..RolloutSettings::default() }
}

pub(crate) async fn lack_of_progress_ends_it_and_waiting_for_a_person_does_not() {
    let scene = Scene::serving(4).await;
    scene.behave("v2", Behaviour { never_ready: true, ..Behaviour::default() });
    let ended = scene.run(scene.deployment("v2", rolling(1, 0)).settings(deadline(60))).await;
    assert!(matches!(ended.rolled_back(), Cause::NoProgress { .. }));
    let after = ended.turned_at().since(ended.began);
    assert!(after >= seconds(60) && after < seconds(65), "{after:?}");
    scene.assert_live("v1");

    // Late, but in time; then a wait of an hour.
    scene.behave("v3", Behaviour { start: Some(seconds(50)), ..Behaviour::default() });
    let ended = scene
        .run_with(scene.deployment("v3", canary(&[25])).settings(deadline(60)), async |person| {
            person.weight("v3", 25).await;
            person.wait(3600).await;
            person.control.promote();
        })
        .await;
    ended.succeeded();
    scene.assert_live("v3");
}

pub(crate) async fn the_first_release_is_ready_before_anything_leads_to_it() {
    for strategy in everything() {
        let scene = Scene::empty(WorldSettings::default(), 4);
        let ended = scene.run(scene.deployment_by("v1", &strategy)).await;
        ended.succeeded();
        let led = ended.film.first(|frame| frame.leads_to("v1"));
        let members = led.split.shares()[0].members.len();
        assert!(members > 0 && led.available("v1") as usize == members, "{strategy:?}: {led:?}");
        scene.assert_live("v1");
    }
}

pub(crate) async fn flapping_and_early_successes_are_not_health() {
    let scene = Scene::serving(4).await;
    scene.behave("v2", Behaviour { flaps: Some(seconds(5)), ..Behaviour::default() });
    let settings = RolloutSettings {
        min_ready: seconds(10),
        failure_ratio: Percent::FULL,
        start_deadline: seconds(60),
        ..RolloutSettings::default()
    };
    let ended = scene.run(scene.deployment("v2", rolling(1, 0)).settings(settings)).await;
    ended.rolled_back();
    ended.film.always("it is never ready for ten seconds", |frame| !frame.leads_to("v2"));
    scene.assert_live("v1");

    // A check that says yes to everything, and a process that takes its time.
    let scene =
        Scene::serving_in(WorldSettings { ready: Latency::NONE, ..WorldSettings::default() }, 4).await;
    scene.behave("v2", Behaviour { start: Some(seconds(20)), ..Behaviour::default() });
    let yes = check_fn("says yes", |_, _| async { Probe::Ok });
    let settings = RolloutSettings { min_ready: seconds(5), ..RolloutSettings::default() };
    let ended = scene.run(scene.deployment("v2", canary(&[])).settings(settings).check(yes)).await;
    ended.succeeded();
    let up = ended.film.first(|frame| frame.working("v2") > 0).at;
    let led = ended.film.first(|frame| frame.leads_to("v2")).at;
    assert!(led.since(up) >= seconds(5), "ready time counts from when it is up: {:?}", led.since(up));
    scene.assert_live("v2");
}

pub(crate) async fn a_pause_stops_the_deadline_which_then_starts_in_full() {
    let scene = Scene::serving(4).await;
    scene.behave("v2", Behaviour { never_ready: true, ..Behaviour::default() });
    let mut resumed = scene.now();
    let ended = scene
        .run_with(scene.deployment("v2", rolling(1, 0)).settings(deadline(60)), async |person| {
            person.until("one is starting", |frame| frame.size("v2") == 1).await;
            person.wait(40).await;
            person.control.pause();
            person.wait(100).await;
            resumed = scene.now();
            person.control.resume();
        })
        .await;
    assert!(matches!(ended.rolled_back(), Cause::NoProgress { .. }), "{:?}", ended.result);
    let after = ended.turned_at().since(resumed);
    assert!(after >= seconds(60) && after < seconds(65), "{after:?}");
    scene.assert_live("v1");
}
