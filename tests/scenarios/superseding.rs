//! A newer release comes before the last one is through.

use deployer::model::AttachPoint;
use deployer_testkit::world::Behaviour;

use crate::support::{Film, Frame, Person, Scene, answers, baking, canary, rolling, seconds};

/// Fails unless v2 was gone before there was anything of v3.
fn one_after_the_other(film: &Film) {
    film.always("v2 goes first", |frame| frame.existing("v2") == 0 || frame.existing("v3") == 0);
}

/// Deploys v2 until this is so, and then something else comes.
async fn overtaken(
    scene: &Scene,
    deployment: deployer::engine::DeploymentBuilder,
    at: impl Fn(&Frame) -> bool,
) {
    let ended = scene
        .run_with(deployment, async |person: &Person<'_>| {
            person.until("far enough", at).await;
            person.control.supersede("v3");
        })
        .await;
    ended.superseded();
}

pub(crate) async fn the_next_canary_starts_at_its_first_step() {
    let scene = Scene::serving(4).await;
    overtaken(&scene, scene.deployment("v2", canary(&[25, 50])), |frame| frame.weight("v2") == 25).await;
    let ended = scene
        .run_with(scene.deployment("v3", canary(&[25, 50])), async |person| {
            for weight in [25, 50] {
                person.weight("v3", weight).await;
                person.control.promote();
            }
        })
        .await;
    ended.succeeded();
    assert_eq!(ended.film.weights("v3"), [0, 25, 50, 100]);
    one_after_the_other(&ended.film);
    ended.film.always("v1 is whole while it serves", |f| f.weight("v1") == 0 || f.available("v1") == 4);
    scene.assert_live("v3");
}

pub(crate) async fn after_an_abort_the_next_starts_clean() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", baking(600)), async |person| {
            person.weight("v2", 100).await;
            person.abort();
        })
        .await;
    ended.aborted();
    scene.assert_live("v1");
    let ended = scene.run(scene.deployment("v3", baking(30))).await;
    ended.succeeded();
    let (_, first) = &ended.memories()[0];
    assert!(first.is_forward() && first.failed.is_empty() && first.last_request == 0, "{first:?}");
    assert_eq!((ended.film.weights("v1"), ended.film.weights("v3")), (vec![100, 0], vec![0, 100]));
    scene.assert_live("v3");
}

pub(crate) async fn a_dead_canary_loses_its_share_before_the_next_begins() {
    let scene = Scene::serving(4).await;
    let weighed = |frame: &Frame| frame.weight("v2") == 50;
    scene.crash(scene.deployment("v2", canary(&[50])), "v2 has its share", weighed).await;
    scene.kill("v2", 2);
    let ended = scene.run(scene.deployment("v3", canary(&[]))).await;
    ended.succeeded();
    ended.film.always("no share for the dead beside v3", |f| f.size("v3") == 0 || f.weight("v2") == 0);
    assert_eq!(ended.film.weights("v2"), [50, 0]);
    scene.assert_live("v3");
}

pub(crate) async fn the_share_goes_to_zero_and_the_checks_begin_anew() {
    let scene = Scene::serving(4).await;
    let (gate, asked) = answers("+");
    let judged = |release: &str| {
        scene.deployment(release, canary(&[10, 30])).gate(AttachPoint::EachStep, "g", gate.clone())
    };
    let ended = scene
        .run_with(judged("v2"), async |person| {
            person.weight("v2", 10).await;
            person.control.promote();
            person.weight("v2", 30).await;
            person.wait(30).await;
            person.control.supersede("v3");
        })
        .await;
    ended.superseded();
    let before = asked.given();
    assert_eq!(before, 2);
    let ended = scene
        .run_with(judged("v3"), async |person| {
            for weight in [10, 30] {
                person.weight("v3", weight).await;
                person.wait(30).await;
                person.control.promote();
            }
        })
        .await;
    ended.succeeded();
    assert_eq!(asked.given() - before, 2, "each step was judged again");
    assert_eq!((ended.film.weights("v2"), ended.film.weights("v3")), (vec![30, 0], vec![0, 10, 30, 100]));
    one_after_the_other(&ended.film);
    scene.assert_live("v3");
}

pub(crate) async fn the_old_set_takes_over_before_the_third_comes() {
    for after_the_switch in [false, true] {
        let scene = Scene::serving(4).await;
        let far_enough =
            move |frame: &Frame| frame.working("v2") == 4 && (frame.weight("v2") == 100 || !after_the_switch);
        overtaken(&scene, scene.deployment("v2", baking(600)), far_enough).await;
        let ended = scene.run(scene.deployment("v3", baking(30))).await;
        ended.succeeded();
        let expected = if after_the_switch { vec![100, 0] } else { vec![0] };
        assert_eq!(ended.film.weights("v2"), expected);
        one_after_the_other(&ended.film);
        ended.film.always("somebody serves in full", |frame| frame.all_available() >= 4);
        ended
            .film
            .always("v1 is whole while it is needed", |f| f.weight("v3") == 100 || f.working("v1") == 4);
        scene.assert_live("v3");
    }
}

pub(crate) async fn a_release_that_is_not_up_yet_is_dropped_and_not_finished() {
    let scene = Scene::serving(4).await;
    scene.behave("v2", Behaviour { start: Some(seconds(60)), ..Behaviour::default() });
    overtaken(&scene, scene.deployment("v2", rolling(2, 0)), |frame| frame.size("v2") == 2).await;
    let ended = scene.run(scene.deployment("v3", rolling(2, 0))).await;
    ended.succeeded();
    ended.film.always("v2 is never waited for", |frame| !frame.leads_to("v2"));
    assert_eq!(ended.film.sizes("v2"), [2, 0]);
    ended.film.always("nothing is lost", |f| f.all_available() >= 4 && f.all_existing() <= 6);
    assert!(ended.took < seconds(60), "{:?}", ended.took);
    scene.assert_live("v3");
}

pub(crate) async fn a_new_description_wins_and_the_same_one_goes_on() {
    let scene = Scene::serving(4).await;
    let two_new = |frame: &Frame| frame.available("v2") == 2;
    scene.crash(scene.deployment("v2", rolling(1, 0)), "half way", two_new).await;
    let before = scene.deployments().await;
    let there = scene.instances("v2");
    let ended = scene.run(scene.deployment("v2", rolling(1, 0))).await;
    assert_eq!(ended.succeeded().resumed, 1);
    assert_eq!(scene.deployments().await, before, "it is the same deployment");
    assert!(there.iter().all(|one| scene.instances("v2").contains(one)), "what was done stays done");
    scene.assert_live("v2");

    let scene = Scene::serving(4).await;
    scene.crash(scene.deployment("v2", rolling(1, 0)), "half way", two_new).await;
    let ended = scene.run(scene.deployment("v3", rolling(1, 0))).await;
    ended.succeeded();
    assert!(ended.film.sizes("v2").is_sorted_by(|a, b| a >= b), "{:?}", ended.film.sizes("v2"));
    ended.film.always("nothing is lost", |frame| frame.all_available() >= 4);
    scene.assert_live("v3");
}

pub(crate) async fn nothing_is_placed_while_it_is_paused_and_a_new_release_clears_up_first() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[25, 50])), async |person| {
            person.weight("v2", 25).await;
            person.wait(5).await;
            person.control.pause();
            person.wait(5).await;
            let writes = scene.written();
            scene.kill("v1", 1);
            person.control.promote();
            person.wait(2 * 3600).await;
            assert_eq!(scene.written(), writes, "it was paused");
            person.control.supersede("v3");
        })
        .await;
    ended.superseded();
    let ended = scene.run(scene.deployment("v3", canary(&[]))).await;
    ended.succeeded();
    one_after_the_other(&ended.film);
    assert_eq!(ended.film.last().available("v3"), 4);
    scene.assert_unharmed();
}

pub(crate) async fn all_leftovers_go_before_anything_new_comes() {
    let scene = Scene::serving(4).await;
    scene.crash(scene.deployment("v2", rolling(1, 0)), "two new", |f| f.available("v2") == 2).await;
    scene.crash(scene.deployment("v3", rolling(1, 0)), "one newer", |f| f.available("v3") == 1).await;
    let left = scene.frame();
    assert!(
        ["v1", "v2", "v3"].iter().all(|set| left.existing(set) > 0),
        "three releases are there: {left:?}"
    );
    let ended = scene.run(scene.deployment("v4", baking(30))).await;
    ended.succeeded();
    ended
        .film
        .always("leftovers go first", |f| f.size("v4") == 0 || f.existing("v2") + f.existing("v3") == 0);
    ended.film.always("the old set is whole again before v4", |f| {
        f.size("v4") == 0 || f.size("v1") == 4 || f.weight("v4") == 100
    });
    ended.film.always("nothing is lost", |frame| frame.all_available() >= 4);
    scene.assert_live("v4");
}
