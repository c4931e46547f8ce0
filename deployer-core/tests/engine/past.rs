//! Releases that were live before: back to one of them, and another size of the one that is live.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    engine::{Deployment, DeploymentBuilder},
    error::DeployError,
    lock::MemoryLock,
    model::SetSpec,
    ports::Target,
    strategy::{BlueGreen, Canary, CanarySettings, Command, Recreate, Rolling},
};

use crate::{describe, journals, release, world::World};

type Strategize = fn(DeploymentBuilder) -> DeploymentBuilder;

const STRATEGIES: [Strategize; 4] = [
    |builder| builder.strategy(Rolling::default()),
    |builder| builder.strategy(BlueGreen::default()),
    |builder| builder.strategy(Canary::new(CanarySettings::default()).unwrap()),
    |builder| builder.strategy(Recreate::default()),
];

/// The builder without a release.
fn of(world: &World, lock: &MemoryLock, routed: bool) -> DeploymentBuilder {
    let target: Arc<dyn Target> = Arc::new(world.clone());
    let builder = Deployment::builder("web")
        .replicas(2)
        .strategy(Rolling::default())
        .target(target)
        .check(world.clone())
        .journal(world.clone())
        .lock(lock.clone())
        .clock(world.clock.clone());
    if routed { builder.router(world.clone()) } else { builder }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_release_is_put_live_again_as_it_was() {
    for strategize in STRATEGIES {
        let (world, lock) = (World::new(), MemoryLock::new());
        let mut first = release("v1");
        first.config = serde_json::json!({ "colour": "blue" });
        describe(&world, &lock, "v1").release(first.clone()).build().unwrap().run().await.unwrap();
        for name in ["v2", "v3"] {
            describe(&world, &lock, name).build().unwrap().run().await.unwrap();
        }
        let back = strategize(of(&world, &lock, true).roll_back_to("v1"));
        let report = back.build().unwrap().run().await.unwrap();
        assert_eq!(report.rollouts[0].release, first.id);
        let live = world.live();
        assert_eq!((live.len(), live[0].0.as_str(), live[0].1, live[0].3), (1, "v1", 2, 2));
        let started = journals(&world).await.pop().unwrap();
        let config = started.iter().find_map(|event| match &event.kind {
            deployer_core::event::EventKind::RolloutStarted { plan, .. } => Some(plan.release.config.clone()),
            _ => None,
        });
        assert_eq!(config, Some(first.config), "with the configuration that it had");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_never_was_live_is_no_rollback_target() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let problem = |error: DeployError| match error {
        DeployError::Refused(problems) => problems[0].to_string(),
        other => panic!("{other}"),
    };
    let error = of(&world, &lock, true).roll_back_to("v1").build().unwrap().run().await.unwrap_err();
    assert_eq!(problem(error), "release: no rollback target: no release was live yet, so v1 was not");
    for name in ["v1", "v2"] {
        describe(&world, &lock, name).build().unwrap().run().await.unwrap();
    }
    world.inner().bad.insert(release("v3").id);
    describe(&world, &lock, "v3").build().unwrap().run().await.unwrap_err();
    let calls = world.calls("apply");
    let error = of(&world, &lock, true).roll_back_to("v3").build().unwrap().run().await.unwrap_err();
    let why =
        "release: no rollback target: v3 is not among the last 10 releases that were live; there is v2, v1";
    assert_eq!(problem(error), why);
    assert_eq!((world.calls("apply"), world.live()[0].0.as_str()), (calls, "v2"));
    let error = of(&world, &lock, true).roll_back_to("-").build().unwrap_err();
    assert!(problem(error).starts_with("roll_back_to: "));
    let error = of(&World::new(), &lock, true).current_release().build().unwrap().run().await.unwrap_err();
    assert!(problem(error).contains("no release is live as far as the journal knows"));
}

#[tokio::test(start_paused = true)]
async fn what_resolves_to_something_else_today_is_refused_before_traffic_moves() {
    let (world, lock) = (World::new(), MemoryLock::new());
    for name in ["v1", "v2"] {
        describe(&world, &lock, name).build().unwrap().run().await.unwrap();
    }
    world.inner().moved = true;
    let calls = || world.calls("apply") + world.calls("shift") + world.calls("remove");
    let before = calls();
    for builder in [of(&world, &lock, true).roll_back_to("v1"), of(&world, &lock, true).current_release()] {
        let error = builder.build().unwrap().run().await.unwrap_err();
        assert!(matches!(&error, DeployError::Refused(_)), "{error}");
        assert!(error.to_string().contains("-moved now"), "{error}");
    }
    assert_eq!((calls(), world.live()[0].0.as_str()), (before, "v2"));
}

#[tokio::test(start_paused = true)]
async fn the_release_that_is_live_gets_another_size() {
    for (routed, strategies) in [(true, &STRATEGIES[..]), (false, &STRATEGIES[..1])] {
        for strategize in strategies {
            let (world, lock) = (World::new(), MemoryLock::new());
            of(&world, &lock, routed).release(release("v1")).build().unwrap().run().await.unwrap();
            for replicas in [5, 1, 3] {
                let scale = strategize(of(&world, &lock, routed).current_release().replicas(replicas));
                scale.build().unwrap().run().await.unwrap();
                let live = world.live();
                let members = if routed { replicas as usize } else { 0 };
                assert_eq!(live.len(), 1, "{live:?}");
                assert_eq!((live[0].0.as_str(), live[0].1, live[0].3), ("v1", replicas as usize, members));
            }
            assert_eq!(world.inner().violations, [] as [String; 0]);
            // It grows in one step and shrinks in one: nobody is replaced.
            let sizes = |events: &Vec<deployer_core::event::Event>| -> Vec<u32> {
                let commands = events.iter().filter_map(|event| match &event.kind {
                    deployer_core::event::EventKind::Intent { commands, .. } => Some(commands.clone()),
                    _ => None,
                });
                let size = |command: Command| match command {
                    Command::Apply(SetSpec { replicas, .. }) => Some(replicas),
                    _ => None,
                };
                commands.flatten().filter_map(size).collect()
            };
            let journals = journals(&world).await;
            let applied: Vec<Vec<u32>> = journals[1..].iter().map(sizes).collect();
            assert_eq!(applied[1], [1], "routed {routed}");
            assert_eq!((applied[0].last(), applied[2].last()), (Some(&5), Some(&3)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn growing_with_instances_that_fail_ends_as_stuck_and_keeps_what_serves() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let scale = of(&world, &lock, true).current_release().replicas(4).build().unwrap();
    let (result, ()) = tokio::join!(scale.run(), async {
        // From its first moment on: those that serve are well, those that come are not.
        tokio::time::sleep(Duration::from_millis(60)).await;
        world.inner().sick_from = Some(3);
    });
    let error = result.unwrap_err();
    assert!(matches!(error, DeployError::Stuck { .. }), "{error}");
    let live = world.live();
    assert_eq!((live[0].0.as_str(), live[0].3), ("v1", 2), "{live:?}");
}
