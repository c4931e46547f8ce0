//! A whole second set, and one switch.

use deployer::{
    gates::Approval,
    model::{Amount, AttachPoint, RolloutSettings},
    strategy::{BlueGreen, BlueGreenSettings, Cause},
};
use deployer_testkit::world::{CallKind, Fault, Latency, WorldSettings};

use crate::support::{Scene, answers, baking, blue_green, seconds};
use deployer::error::ErrorKind;

pub(crate) async fn a_bake_time_longer_than_the_progress_deadline_is_no_failure() {
    let scene = Scene::serving(4).await;
    let settings = RolloutSettings { progress_deadline: seconds(60), ..RolloutSettings::default() };
    let ended = scene.run(scene.deployment("v2", baking(3600)).settings(settings)).await;
    ended.succeeded();
    let switched = ended.film.first(|frame| frame.weight("v2") == 100).at;
    let shrunk = ended.film.first(|frame| frame.size("v1") < 4).at;
    assert!(shrunk.since(switched) >= seconds(3600), "{:?}", shrunk.since(switched));
    scene.assert_live("v2");
}

pub(crate) async fn a_no_before_the_switch_leaves_the_traffic_where_it_was() {
    let scene = Scene::serving(4).await;
    let (gate, asked) = answers("-!");
    let ended =
        scene.run(scene.deployment("v2", blue_green()).gate(AttachPoint::BeforeTraffic, "g", gate)).await;
    assert!(matches!(ended.rolled_back(), Cause::GateFailed { .. }));
    assert_eq!(asked.given(), 2);
    assert_eq!(ended.film.most(|frame| frame.working("v2")), 4, "it was asked about a whole set");
    ended.film.always("v1 has everything", |f| f.weight("v1") == 100 && !f.leads_to("v2"));
    assert!(!ended.touches().iter().any(|command| command.starts_with("send")), "{:?}", ended.touches());
    scene.assert_live("v1");
}

pub(crate) async fn a_no_after_the_switch_is_one_switch_back_to_a_whole_set() {
    for at in [AttachPoint::FullTraffic, AttachPoint::Bake] {
        let scene = Scene::serving(4).await;
        let old = scene.instances("v1");
        let (gate, _) = answers("-!");
        let ended = scene.run(scene.deployment("v2", blue_green()).gate(at, "g", gate)).await;
        ended.rolled_back();
        assert_eq!(ended.film.weights("v2"), [0, 100, 0]);
        ended.film.always("the old set is whole", |frame| frame.working("v1") == 4);
        assert_eq!(scene.instances("v1"), old, "and the same");
        scene.assert_live("v1");
    }
}

pub(crate) async fn a_small_candidate_is_whole_before_the_switch() {
    let scene = Scene::serving(5).await;
    let settings = BlueGreenSettings { candidate: Amount::Count(1), ..BlueGreenSettings::default() };
    let (gate, approver) = Approval::new();
    let deployment = scene.deployment("v2", BlueGreen::new(settings).unwrap());
    let ended = scene
        .run_with(deployment.gate(AttachPoint::BeforeTraffic, "person", gate), async |person| {
            person.until("one is there to be looked at", |frame| frame.working("v2") == 1).await;
            person.wait(300).await;
            assert_eq!(scene.frame().size("v2"), 1, "nobody said yes");
            approver.approve("ann").unwrap();
        })
        .await;
    ended.succeeded();
    assert_eq!(ended.film.sizes("v2"), [0, 1, 5]);
    ended.film.always("the switch is to a whole set", |f| f.weight("v2") == 0 || f.available("v2") == 5);
    scene.assert_live("v2");
}

pub(crate) async fn the_old_set_stays_until_the_switch_is_proven() {
    let settings = WorldSettings { switch: Latency::exactly(seconds(40)), ..WorldSettings::default() };
    let scene = Scene::serving_in(settings, 4).await;
    let ended = scene
        .run_with(scene.deployment("v2", baking(0)), async |person| {
            person.until("v2 is whole", |frame| frame.working("v2") == 4).await;
            person.wait(5).await;
            let asked = scene.world.calls_of(CallKind::Current);
            for number in 1..=3 {
                let fault = Fault::Fail(ErrorKind::Unavailable);
                scene.world.plan(CallKind::Current, asked + number, fault);
            }
        })
        .await;
    ended.succeeded();
    assert!(scene.world.unfired().is_empty(), "the router was asked while it could not answer");
    ended.film.always("whole until the data plane has left it", |f| f.weight("v1") == 0 || f.size("v1") == 4);
    assert!(ended.took >= seconds(40));
    scene.assert_live("v2");
}

pub(crate) async fn after_the_switch_the_old_set_gets_nothing() {
    let scene = Scene::serving(4).await;
    let ended = scene.run(scene.deployment("v2", blue_green())).await;
    ended.succeeded();
    assert_eq!((ended.film.weights("v1"), ended.film.weights("v2")), (vec![100, 0], vec![0, 100]));
    let switched = ended.film.first(|frame| frame.weight("v2") == 100);
    assert_eq!((switched.available("v1"), switched.working("v1")), (0, 4), "warm, and out of rotation");
    ended.film.always("four serve at any time", |frame| frame.all_available() == 4);
    scene.assert_live("v2");
}
