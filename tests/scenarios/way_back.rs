//! Back to what was there before, without a gap.

use deployer::{
    model::{AttachPoint, Percent, RolloutSettings, SetId, WayBack},
    strategy::{Canary, CanarySettings, StepPause},
};
use deployer_testkit::world::{Behaviour, World, WorldSettings};

use crate::support::{Scene, answers, baking, blue_green, canary, rolling, seconds, step};

fn impatient() -> RolloutSettings {
    RolloutSettings { progress_deadline: seconds(60), ..RolloutSettings::default() }
}

fn gradually(points: u64, every: u64) -> RolloutSettings {
    let step = Percent::new(points).unwrap();
    RolloutSettings {
        way_back: WayBack::Gradual { step, every: seconds(every) },
        ..RolloutSettings::default()
    }
}

pub(crate) async fn a_share_that_falls_costs_no_capacity() {
    let falling = [50, 20].map(|weight| step(weight, None, StepPause::None)).to_vec();
    assert!(Canary::new(CanarySettings { steps: falling, ..CanarySettings::default() }).is_err());
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[75])).settings(gradually(25, 20)), async |person| {
            person.weight("v2", 75).await;
            person.abort();
        })
        .await;
    ended.aborted();
    assert_eq!(ended.film.weights("v2"), [0, 75, 50, 25, 0]);
    ended.film.always("nothing is lost", |frame| frame.all_available() >= 4);
    ended.film.always("what serves is there", |f| f.weight("v2") * 4 <= f.available("v2") * 100);
    scene.assert_live("v1");
}

pub(crate) async fn an_old_set_that_waits_to_go_is_used_again() {
    let scene = Scene::serving(4).await;
    let old = scene.instances("v1");
    let ended = scene
        .run_with(scene.deployment("v2", baking(3600)), async |person| {
            person.weight("v2", 100).await;
            person.wait(60).await;
            person.control.supersede("v1 again");
        })
        .await;
    ended.superseded();
    let ended = scene.run(scene.deployment("v1", rolling(1, 0)).revision(1)).await;
    ended.succeeded();
    assert_eq!(scene.instances("v1"), old, "none was built anew");
    ended.film.always("nothing is lost", |frame| frame.all_available() >= 4);
    scene.assert_live("v1");
}

pub(crate) async fn an_abort_leads_back_with_and_without_a_router() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[50])), async |person| {
            person.weight("v2", 50).await;
            person.abort();
        })
        .await;
    ended.aborted();
    assert_eq!(ended.way_back().weights("v2"), [50, 0]);
    scene.assert_live("v1");

    let scene = Scene::empty(WorldSettings { routed: false, ..WorldSettings::default() }, 4);
    scene.run(scene.unrouted("v1")).await.succeeded();
    let ended = scene
        .run_with(scene.unrouted("v2"), async |person| {
            person.until("half of it is new", |frame| frame.working("v2") == 2).await;
            person.abort();
        })
        .await;
    ended.aborted();
    ended.film.always("nothing is lost", |frame| frame.all_available() >= 4);
    let last = ended.film.last();
    assert_eq!((last.working("v1"), last.existing("v2")), (4, 0));
}

pub(crate) async fn new_ones_leave_only_as_old_ones_arrive() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", rolling(1, 0)), async |person| {
            person.until("one old one is left", |frame| frame.size("v1") == 1).await;
            person.until("and three new serve", |frame| frame.available("v2") == 3).await;
            scene.behave("v1", Behaviour { start: Some(seconds(10)), ..Behaviour::default() });
            person.abort();
        })
        .await;
    ended.aborted();
    let back = ended.way_back();
    back.always("nothing is lost", |frame| frame.all_available() >= 4);
    back.always("and the ceiling holds", |frame| frame.all_existing() <= 5);
    let (old, new) = (back.course(|f| f.available("v1")), back.course(|f| f.available("v2")));
    assert!(old.is_sorted() && new.is_sorted_by(|a, b| a >= b), "{old:?} {new:?}");
    scene.assert_live("v1");
}

/// A canary at 75 % that is aborted when so many old instances are gone and others take a minute to come.
async fn aborted_short_of(lost: usize, settings: RolloutSettings) -> (Scene, crate::support::Ended) {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[75])).settings(settings), async |person| {
            person.weight("v2", 75).await;
            scene.kill("v1", lost);
            scene.behave("v1", Behaviour { start: Some(seconds(60)), ..Behaviour::default() });
            person.abort();
        })
        .await;
    ended.aborted();
    scene.assert_live("v1");
    (scene, ended)
}

pub(crate) async fn the_share_is_held_while_the_old_set_is_short_and_there_is_no_deadlock() {
    let (_, ended) = aborted_short_of(2, gradually(25, 10)).await;
    let back = ended.way_back();
    assert_eq!(back.weights("v2"), [75, 50, 25, 0]);
    back.always("held while stable is short", |f| f.weight("v2") == 75 || f.working("v1") == 4);
    back.always("whole until nobody is sent there", |f| f.weight("v2") == 0 || f.size("v2") >= 3);
}

pub(crate) async fn nothing_moves_before_the_last_old_one_is_ready() {
    let (_, ended) = aborted_short_of(1, RolloutSettings::default()).await;
    let back = ended.way_back();
    assert_eq!(back.weights("v2"), [75, 0]);
    let moved = back.first(|frame| frame.weight("v2") == 0);
    assert_eq!(moved.available("v1"), 4);
    assert!(moved.at.since(ended.turned_at()) >= seconds(60));
}

pub(crate) async fn a_side_with_all_the_traffic_keeps_it_until_the_other_is_ready() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", baking(600)), async |person| {
            person.weight("v2", 100).await;
            scene.kill("v1", 4);
            scene.behave("v1", Behaviour { start: Some(seconds(60)), ..Behaviour::default() });
            person.abort();
        })
        .await;
    ended.aborted();
    let back = ended.way_back();
    back.always("v2 serves until v1 can", |f| f.available("v2") == 4 || f.available("v1") == 4);
    assert_eq!(back.weights("v2"), [100, 0]);
    assert!(ended.took >= seconds(60));
    scene.assert_live("v1");
}

pub(crate) async fn what_was_adopted_is_given_back_as_it_was() {
    let scene = Scene::empty(WorldSettings::default(), 4);
    let found = World::release("found".try_into().unwrap());
    let before = scene.world.put(&scene.workload, &found, 4);
    scene.world.forget_release(&scene.workload, &SetId::new("found").unwrap());
    let split = scene.frame().split;
    let (gate, _) = answers("!");
    let deployment = scene.deployment("v2", blue_green()).adopt("found");
    let ended = scene.run(deployment.gate(AttachPoint::FullTraffic, "g", gate)).await;
    ended.rolled_back();
    assert_eq!(ended.film.weights("v2"), [0, 100, 0]);
    let after = scene.instances("found");
    assert_eq!(after, before.into_iter().map(|one| one.id).collect::<Vec<_>>());
    let members = |split: &deployer::model::Split| split.shares()[0].members.clone();
    assert_eq!(members(&scene.frame().split), members(&split));
    scene.assert_live("found");
}

pub(crate) async fn a_way_back_that_fails_is_stuck_and_never_turns_again() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", baking(600)).settings(impatient()), async |person| {
            person.weight("v2", 100).await;
            scene.kill("v1", 4);
            scene.behave("v1", Behaviour { never_ready: true, ..Behaviour::default() });
            scene.kill("v2", 1);
        })
        .await;
    assert!(ended.stuck().contains("no progress"), "{}", ended.stuck());
    let turns = ended.memories().windows(2).filter(|w| w[0].1.is_forward() != w[1].1.is_forward()).count();
    assert_eq!(turns, 1);
    let back = ended.way_back();
    back.always("those that serve go on", |frame| frame.available("v2") == 3);
    assert!(back.sizes("v2").is_sorted_by(|a, b| a >= b));
}

pub(crate) async fn the_last_good_release_returns_without_a_loop() {
    let ill = Behaviour { never_ready: true, ..Behaviour::default() };
    let scene = Scene::serving(4).await;
    scene.behave("v2", ill);
    scene.run(scene.deployment("v2", rolling(1, 0))).await.rolled_back();
    scene.assert_live("v1");

    // The same release cannot be gone back to.
    scene.kill("v1", 1);
    scene.behave("v1", ill);
    let ended = scene.run(scene.deployment("v1", rolling(1, 0)).settings(impatient()).revision(1)).await;
    assert!(ended.stuck().contains("no progress"), "{}", ended.stuck());
    assert!(ended.memories().iter().all(|(_, state)| state.is_forward()));
    assert_eq!(ended.film.last().available("v1"), 3);

    let scene = Scene::empty(WorldSettings::default(), 4);
    scene.behave("v1", Behaviour { dies_after: Some(seconds(4)), ..Behaviour::default() });
    let ended = scene.run(scene.deployment("v1", rolling(4, 0)).settings(RolloutSettings::default())).await;
    assert!(ended.stuck().contains("first release"), "{}", ended.stuck());
}
