//! Killed at every point, run again: the same end.

use deployer_core::{
    engine::DeploymentBuilder,
    error::DeployError,
    event::EventKind,
    lock::MemoryLock,
    strategy::{BlueGreen, Recreate, Rolling},
};

use crate::{describe, journals, release, world::World};

type Strategize = fn(DeploymentBuilder) -> DeploymentBuilder;

const STRATEGIES: [Strategize; 3] = [
    |builder| builder.strategy(Rolling::default()),
    |builder| builder.strategy(BlueGreen::default()),
    |builder| builder.strategy(Recreate::default()),
];

/// Deploys `v1`, then `v2` with a crash at this point, and runs it again. Returns whether there was such a point.
async fn crash_at(point: u32, bad: bool, strategize: Strategize) -> bool {
    let (world, lock) = (World::new(), MemoryLock::new());
    strategize(describe(&world, &lock, "v1")).build().unwrap().run().await.unwrap();
    if bad {
        world.inner().bad.insert(release("v2").id);
    }
    world.crash_at(Some(point));
    let first = strategize(describe(&world, &lock, "v2")).build().unwrap();
    let Some(result) = world.run(first.run()).await else {
        let again = strategize(describe(&world, &lock, "v2")).build().unwrap();
        check(&world, bad, again.run().await.map(|_| ()), point).await;
        return true;
    };
    check(&world, bad, result.map(|_| ()), point).await;
    false
}

async fn check(world: &World, bad: bool, result: Result<(), DeployError>, point: u32) {
    let live = world.live();
    let journals = journals(world).await;
    let ended = |events: &Vec<deployer_core::event::Event>| {
        events.iter().filter(|event| matches!(event.kind, EventKind::DeploymentFinished { .. })).count()
    };
    assert_eq!(world.inner().violations, [] as [String; 0], "point {point}");
    assert!(journals.iter().all(|events| ended(events) == 1), "point {point}: exactly one last event each");
    let expected = if bad { "v1" } else { "v2" };
    assert_eq!(live.len(), 1, "point {point}: nothing is left over: {live:?}");
    assert_eq!((live[0].0.as_str(), live[0].1, live[0].3), (expected, 2, 2), "point {point}");
    match result {
        Ok(()) => assert!(!bad, "point {point}"),
        Err(DeployError::RolledBack { .. }) => assert!(bad, "point {point}"),
        Err(other) => panic!("point {point}: {other}"),
    }
    // After the last event was durable a new run is a new deployment; before that it is the same one.
    assert!(matches!(journals.len(), 2 | 3), "point {point}: {}", journals.len());
}

#[tokio::test(start_paused = true)]
async fn a_good_release_ends_live_wherever_the_process_dies() {
    for strategize in STRATEGIES {
        let mut point = 1;
        while crash_at(point, false, strategize).await {
            point += 1;
        }
        assert!(point > 25, "only {point} points were tried");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_release_ends_rolled_back_wherever_the_process_dies() {
    for strategize in STRATEGIES {
        let mut point = 1;
        while crash_at(point, true, strategize).await {
            point += 1;
        }
        assert!(point > 25, "only {point} points were tried");
    }
}

#[tokio::test(start_paused = true)]
async fn dying_again_and_again_makes_progress_all_the_same() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    for crashes in 0.. {
        assert!(crashes < 200, "it never ends");
        world.crash_at(Some(7));
        let deployment = describe(&world, &lock, "v2").build().unwrap();
        if let Some(result) = world.run(deployment.run()).await {
            result.unwrap();
            break;
        }
    }
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].1, live[0].3), (1, "v2", 2, 2));
    assert_eq!(world.inner().violations, [] as [String; 0]);
}
