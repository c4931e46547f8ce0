//! Requests that are under way when an instance leaves.

use std::time::Duration;

use deployer::model::{RolloutSettings, Timestamp};
use deployer_testkit::world::{IncidentKind, WorldSettings};

use crate::support::{Ended, Scene, baking, rolling, seconds};

/// So many requests at each instance, of which the last ends so long after it left the rotation.
async fn busy(in_flight: u32, request: Duration) -> Scene {
    Scene::serving_in(WorldSettings { in_flight, request, ..WorldSettings::default() }, 4).await
}

fn draining(drain: u64) -> RolloutSettings {
    RolloutSettings { drain: seconds(drain), ..RolloutSettings::default() }
}

/// How long an old instance was out of rotation before it was told to stop, at the least and at the most.
fn drained(ended: &Ended) -> (Duration, Duration) {
    let frames = ended.film.frames();
    let mut left: Vec<Timestamp> = Vec::new();
    let mut times = Vec::new();
    for pair in frames.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let gone = before.available("v1").saturating_sub(after.available("v1"));
        left.extend((0..gone).map(|_| after.at));
        for _ in after.size("v1")..before.size("v1") {
            times.push(after.at.since(left.remove(0)));
        }
    }
    assert_eq!(times.len(), 4, "all four were told to stop");
    (times.iter().min().copied().unwrap(), times.iter().max().copied().unwrap())
}

fn cut(scene: &Scene) -> usize {
    let cut = |kind: &IncidentKind| matches!(kind, IncidentKind::StoppedBusy { .. });
    scene.world.incidents().iter().filter(|incident| cut(&incident.kind)).count()
}

pub(crate) async fn requests_that_end_in_time_are_waited_for() {
    let scene = busy(3, seconds(25)).await;
    let ended = scene.run(scene.deployment("v2", rolling(1, 0)).settings(draining(30))).await;
    ended.succeeded();
    let (least, most) = drained(&ended);
    assert!(least >= seconds(25) && most < seconds(27), "{least:?} to {most:?}");
    assert_eq!(cut(&scene), 0);
    scene.assert_live("v2");
}

pub(crate) async fn requests_without_end_are_cut_at_the_drain_time() {
    let scene = busy(20, seconds(24 * 3600)).await;
    let ended = scene.run(scene.deployment("v2", rolling(1, 0)).settings(draining(30))).await;
    ended.succeeded();
    let (least, most) = drained(&ended);
    assert!(least >= seconds(30) && most < seconds(32), "{least:?} to {most:?}");
    assert_eq!(cut(&scene), 4, "and the world says so");
    scene.assert_size_in_rotation("v2");
}

pub(crate) async fn without_requests_nothing_is_waited_for() {
    let scene = busy(0, seconds(24 * 3600)).await;
    let ended = scene.run(scene.deployment("v2", rolling(1, 0)).settings(draining(30))).await;
    ended.succeeded();
    let (_, most) = drained(&ended);
    assert!(most < seconds(1), "{most:?}");
    scene.assert_live("v2");
}

pub(crate) async fn long_connections_end_within_the_drain_time_after_the_promotion() {
    let scene = busy(5, seconds(24 * 3600)).await;
    let ended = scene.run(scene.deployment("v2", baking(20)).settings(draining(45))).await;
    ended.succeeded();
    let switched = ended.film.first(|frame| frame.weight("v2") == 100).at;
    let stopped = ended.film.first(|frame| frame.size("v1") == 0).at.since(switched);
    assert!(stopped >= seconds(45) && stopped < seconds(70), "{stopped:?}");
    assert_eq!(cut(&scene), 4);
    scene.assert_size_in_rotation("v2");
}
