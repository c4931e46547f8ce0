//! Batches and budgets of rolling updates.

use deployer::{
    engine::EngineSettings,
    model::{Amount, Percent, RolloutSettings},
    strategy::{Cause, Rolling, RollingSettings},
};
use deployer_testkit::world::{Behaviour, WorldSettings};

use crate::support::{Scene, blue_green, pausing, rolling, seconds};

fn tolerating(percent: u64) -> RolloutSettings {
    RolloutSettings { failure_ratio: Percent::new(percent).unwrap(), ..RolloutSettings::default() }
}

pub(crate) async fn new_ones_that_do_not_come_up_never_shrink_the_old() {
    let scene = Scene::serving(4).await;
    scene.behave("v2", Behaviour { never_ready: true, ..Behaviour::default() });
    let deployment = scene.deployment("v2", rolling(2, 0)).settings(RolloutSettings::default());
    let ended = scene
        .run_with(deployment, async |person| {
            person.until("two new beside four old", |frame| frame.size("v2") == 2).await;
            person.control.scale(8);
            person.wait(60).await;
            person.control.scale(4);
            person.wait(60).await;
            person.abort();
        })
        .await;
    ended.aborted();
    ended.film.always("the old set is whole", |frame| frame.available("v1") == 4 && frame.size("v1") == 4);
    assert_eq!(ended.film.sizes("v2"), [0, 2, 0], "one batch at a time");
    scene.assert_live("v1");
}

pub(crate) async fn a_batch_ends_whole_despite_failures_within_the_ratio() {
    for killed in [2, 3] {
        let scene = Scene::serving(10).await;
        let settings = RollingSettings {
            surge: Amount::Count(3),
            batch: Some(Amount::percent(30).unwrap()),
            pause: seconds(30),
            ..RollingSettings::default()
        };
        let strategy = Rolling::new(settings).unwrap();
        let deployment = scene.deployment("v2", strategy).settings(tolerating(20));
        let ended = scene
            .run_with(deployment, async |person| {
                person.until("the first batch starts", |frame| frame.size("v2") == 3).await;
                person.scene.kill("v2", killed);
            })
            .await;
        ended.film.always("nothing is lost", |frame| frame.all_available() >= 10);
        if killed == 3 {
            assert!(matches!(ended.rolled_back(), Cause::InstancesFailed { failed: 3, replicas: 10, .. }));
            scene.assert_live("v1");
            continue;
        }
        ended.succeeded();
        let mut batches: Vec<u32> = ended.memories().iter().map(|(_, state)| state.step).collect();
        batches.dedup();
        assert_eq!(batches, [0, 6, 9, 10], "goals of the batches after the first");
        scene.assert_live("v2");
    }
}

pub(crate) async fn the_ceiling_counts_what_exists() {
    let scene = Scene::serving(10).await;
    let ended = scene.run(scene.deployment("v2", rolling(2, 0))).await;
    ended.succeeded();
    assert_eq!(ended.film.sizes("v2")[..2], [0, 2], "ten old ones leave room for two");
    ended.film.always("never above the ceiling", |frame| frame.all_existing() <= 12);
    let scene = Scene::serving(10).await;
    scene.kill("v1", 5);
    let ended = scene.run(scene.deployment("v2", rolling(2, 0))).await;
    ended.succeeded();
    assert_eq!(ended.film.sizes("v2")[..2], [0, 7], "five old ones leave room for seven");
    ended.film.always("never above the ceiling", |frame| frame.all_existing() <= 12);
}

pub(crate) async fn one_at_a_time_the_first_failure_touches_one() {
    let scene = Scene::serving(4).await;
    scene.behave("v2", Behaviour { dies_after: Some(seconds(1)), ..Behaviour::default() });
    for _ in 0..2 {
        let ended = scene.run(scene.deployment("v2", rolling(1, 0))).await;
        ended.rolled_back();
        assert_eq!(ended.film.most(|frame| frame.existing("v2")), 1);
        ended.film.always("the old set is whole", |frame| frame.available("v1") == 4);
        scene.assert_live("v1");
    }
}

pub(crate) async fn failures_that_are_tolerated_are_replaced_to_the_end() {
    let scene = Scene::serving(4).await;
    let deployment = scene.deployment("v2", rolling(1, 0)).settings(tolerating(100));
    let ended = scene
        .run_with(deployment, async |person| {
            for number in 1..=4 {
                let comes_up = |frame: &crate::support::Frame| {
                    frame.working("v2") + 1 == number && frame.size("v2") == number
                };
                person.until("the next one comes up", comes_up).await;
                person.scene.kill("v2", 1);
            }
        })
        .await;
    ended.succeeded();
    assert_eq!(ended.memories().last().unwrap().1.failed.len(), 4);
    ended.film.always("nothing is lost", |frame| frame.all_available() >= 4);
    scene.assert_live("v2");
}

pub(crate) async fn the_failure_above_the_ratio_turns_it_round() {
    for (killed, is_too_many) in [(1, false), (2, true)] {
        let scene = Scene::serving(4).await;
        let deployment = scene.deployment("v2", rolling(2, 0)).settings(tolerating(40));
        let ended = scene
            .run_with(deployment, async |person| {
                person.until("two come up", |frame| frame.size("v2") == 2).await;
                person.scene.kill("v2", killed);
            })
            .await;
        if is_too_many {
            assert!(matches!(ended.rolled_back(), Cause::InstancesFailed { failed: 2, replicas: 4, .. }));
            scene.assert_live("v1");
        } else {
            ended.succeeded();
            scene.assert_live("v2");
        }
    }
}

/// A world in which v1 stops only when it is killed, so long after it was told to.
async fn stubborn(grace: u64, replicas: u32) -> Scene {
    let mut settings = WorldSettings::default();
    settings.target.stop_grace = seconds(grace);
    let scene = Scene::empty(settings, replicas);
    scene.behave("v1", Behaviour { ignores_stop: true, ..Behaviour::default() });
    scene.go_live("v1").await;
    scene
}

pub(crate) async fn old_ones_stop_after_new_ones_serve_though_it_takes_hours() {
    let scene = stubborn(3600, 2).await;
    let settings = RolloutSettings { progress_deadline: seconds(2 * 3600), ..RolloutSettings::default() };
    let seldom = EngineSettings { active_look: seconds(5), ..EngineSettings::default() };
    let deployment = scene.deployment("v2", rolling(1, 0)).settings(settings).engine(seldom);
    let ended = scene.run(deployment).await;
    ended.succeeded();
    assert!(ended.took >= seconds(2 * 3600) && ended.took < seconds(2 * 3600 + 300), "{:?}", ended.took);
    ended.film.always("a new one serves before an old one stops", |frame| {
        frame.size("v1") + frame.available("v2") >= 2 && frame.all_available() >= 2
    });
    ended.film.always("what stops counts against the ceiling", |frame| frame.all_existing() <= 3);
    scene.assert_live("v2");
}

pub(crate) async fn stop_first_waits_for_the_grace_time_and_no_longer() {
    let scene = stubborn(10, 4).await;
    let ended = scene.run(scene.deployment("v2", rolling(0, 1))).await;
    ended.succeeded();
    ended.film.always("the old one is gone before the new one starts", |frame| frame.all_existing() <= 4);
    ended.film.always("one is missing at most", |frame| frame.all_available() >= 3);
    assert!(ended.took >= seconds(40) && ended.took < seconds(80), "{:?}", ended.took);
    scene.assert_live("v2");
}

pub(crate) async fn what_cannot_run_side_by_side_stops_first_and_says_why() {
    let mut settings = WorldSettings::default();
    settings.target.exclusive = Some("port 8080 of the host".into());
    let scene = Scene::serving_in(settings, 1).await;
    let preview = scene.deployment("v2", rolling(1, 0)).build().unwrap().preview().await.unwrap();
    let in_words = preview.to_string();
    assert!(in_words.contains("before its successor can start"), "{in_words}");
    let explicit = scene.run(scene.deployment("v2", blue_green())).await;
    assert!(explicit.refused()[0].message.contains("port 8080 of the host"), "{:?}", explicit.refused());
    let ended = scene.run(scene.deployment("v2", rolling(1, 0))).await;
    ended.succeeded();
    ended.film.always("one at a time", |frame| frame.existing("v1") == 0 || frame.existing("v2") == 0);
    scene.assert_live("v2");
}

pub(crate) async fn a_failure_counts_in_its_window_and_not_after() {
    // While it is watched at the end, long after, and in the pause after the first of two.
    for (replicas, dies_after, pause, counts) in [(1, 8, 0, true), (2, 3600, 0, false), (2, 20, 60, true)] {
        let scene = Scene::serving(replicas).await;
        scene.behave("v2", Behaviour { dies_after: Some(seconds(dies_after)), ..Behaviour::default() });
        let ended = scene.run(scene.deployment("v2", pausing(Amount::Count(1), pause))).await;
        if counts {
            ended.rolled_back();
            scene.assert_live("v1");
        } else {
            ended.succeeded();
            assert!(ended.took < seconds(dies_after));
            scene.assert_live("v2");
        }
    }
}
