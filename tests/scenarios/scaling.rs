//! Another number of replicas while something else is going on.

use deployer::gates::Approval;
use deployer::model::AttachPoint;

use crate::support::{Frame, Scene, canary, everything, rolling, serving_strategies};

pub(crate) async fn a_canary_scaled_at_a_step_keeps_its_share_and_the_old_set_whole() {
    let scene = Scene::serving(1).await;
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[25])), async |person| {
            person.weight("v2", 25).await;
            assert_eq!((scene.frame().size("v2"), scene.frame().size("v1")), (1, 1));
            person.control.scale(8);
            let larger = |frame: &Frame| frame.available("v2") == 2 && frame.available("v1") == 8;
            person.until("two new, eight old", larger).await;
            assert_eq!((scene.frame().size("v2"), scene.frame().weight("v2")), (2, 25));
            person.control.scale(4);
            person.wait(60).await;
            let frame = scene.frame();
            assert!(frame.available("v1") >= 4 && frame.weight("v2") == 25, "{frame:?}");
            person.control.promote();
        })
        .await;
    ended.succeeded();
    scene.assert_size("v2", 4);
}

pub(crate) async fn release_and_replicas_change_in_one_deployment() {
    for strategy in everything() {
        let scene = Scene::serving(4).await;
        let ended = scene.run(scene.deployment_by("v2", &strategy).replicas(6)).await;
        ended.succeeded();
        scene.assert_size("v2", 6);
    }
    for strategy in serving_strategies() {
        let scene = Scene::serving(4).await;
        let ended = scene.run(scene.deployment_by("v2", &strategy).replicas(6)).await;
        ended.film.always("no capacity is lost", |frame| frame.all_available() >= 4);
    }
}

pub(crate) async fn what_is_added_in_the_middle_is_of_the_new_release() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", rolling(1, 0)), async |person| {
            person.until("half of it is new", |frame| frame.available("v2") == 2).await;
            person.control.scale(8);
        })
        .await;
    ended.succeeded();
    let old = ended.film.sizes("v1");
    assert!(old.is_sorted_by(|a, b| a >= b), "the old set grew: {old:?}");
    ended.film.always("within floor and ceiling", |f| f.all_available() >= 4 && f.all_existing() <= 9);
    scene.assert_size("v2", 8);
}

pub(crate) async fn nothing_to_do_old_ones_first_and_a_no_that_counts() {
    let scene = Scene::serving(4).await;
    let same = scene.deployment("v1", rolling(1, 0)).revision(1).build().unwrap().preview().await.unwrap();
    let actions: Vec<_> = same.actions().flatten().map(ToString::to_string).collect();
    assert_eq!(actions, ["prepare release v1"]);
    let ended = scene
        .run_with(scene.deployment("v2", rolling(1, 0)), async |person| {
            person.until("one is new", |frame| frame.available("v2") == 1).await;
            person.control.scale(2);
        })
        .await;
    ended.succeeded();
    let new = ended.film.sizes("v2");
    assert!(new.is_sorted(), "a new one went while old ones were there: {new:?}");
    scene.assert_size("v2", 2);
    let (gate, approver) = Approval::new();
    let declined = scene.deployment("v3", canary(&[50])).gate(AttachPoint::BeforeTraffic, "person", gate);
    let ended = scene
        .run_with(declined, async |person| {
            person.until("v3 waits", |frame| frame.working("v3") > 0).await;
            person.wait(10).await;
            approver.reject("ann", "not today").unwrap();
        })
        .await;
    assert!(ended.rolled_back().to_string().contains("ann: not today"));
    ended.film.always("v3 serves nobody", |frame| !frame.leads_to("v3"));
}
