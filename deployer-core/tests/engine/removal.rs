//! Taking a workload down on purpose.

use std::sync::Arc;

use deployer_core::{
    engine::{Deployment, DeploymentBuilder, RemovalBuilder},
    error::DeployError,
    event::EventKind,
    lock::MemoryLock,
    model::{Maintenance, Split, WorkloadId},
    operations::Operations,
    pipeline::{Pipeline, Stage, StageError},
    ports::Target,
    strategy::{BlueGreen, Canary, CanarySettings, Outcome, Recreate, Rolling},
};

use crate::{describe, journals, release, world::World};

fn removal(world: &World, lock: &MemoryLock) -> RemovalBuilder {
    let target: Arc<dyn Target> = Arc::new(world.clone());
    Deployment::removal("web")
        .target(target)
        .router(world.clone())
        .journal(world.clone())
        .lock(lock.clone())
        .clock(world.clock.clone())
}

fn web() -> WorkloadId {
    WorkloadId::new("web").unwrap()
}

#[tokio::test(start_paused = true)]
async fn first_the_page_then_the_instances_then_nothing_is_live() {
    let (world, lock) = (World::new(), MemoryLock::new());
    for name in ["v1", "v2"] {
        describe(&world, &lock, name).build().unwrap().run().await.unwrap();
    }
    let page = Maintenance { retry_after_seconds: 60, message: "gone".into() };
    let deployment =
        removal(&world, &lock).maintenance(page.clone()).reason("the shop moved").build().unwrap();
    let preview = deployment.preview().await.unwrap();
    let report = deployment.run().await.unwrap();
    assert_eq!((world.live().len(), world.split()), (0, Some(Split::Maintenance(page))));
    assert_eq!(world.inner().violations, [] as [String; 0]);
    let journal = journals(&world).await.pop().unwrap();
    let intents: Vec<_> = journal
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Intent { commands, .. } => Some(commands.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(preview.actions().map(<[_]>::to_vec).collect::<Vec<_>>(), intents, "as the preview said");
    assert_eq!(intents.len(), 2, "the page, and the set: {intents:?}");
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    assert!(report.to_string().contains("did what it should"), "{report}");
    let operations = Operations::new(world.clone());
    let status = operations.status(&web()).await.unwrap();
    assert_eq!((status.live, status.open), (None, None));
    assert!(status.last.unwrap().stages[0].contains("removal of web"));
}

#[tokio::test(start_paused = true)]
async fn the_next_deployment_is_a_first_one_and_the_past_can_be_rolled_back_to() {
    type Strategize = fn(DeploymentBuilder) -> DeploymentBuilder;
    let strategies: [Strategize; 4] = [
        |builder| builder.strategy(Rolling::default()),
        |builder| builder.strategy(BlueGreen::default()),
        |builder| builder.strategy(Canary::new(CanarySettings::default()).unwrap()),
        |builder| builder.strategy(Recreate::default()),
    ];
    for strategize in strategies {
        let (world, lock) = (World::new(), MemoryLock::new());
        describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
        removal(&world, &lock).build().unwrap().run().await.unwrap();
        let error = describe(&world, &lock, "v1").current_release().build().unwrap().run().await.unwrap_err();
        assert!(error.to_string().contains("no release is live"), "{error}");
        let report = strategize(describe(&world, &lock, "v2")).build().unwrap().run().await.unwrap();
        assert_eq!(report.rollouts[0].stable, None, "there was nothing to replace");
        assert_eq!((world.live()[0].0.as_str(), world.live()[0].3), ("v2", 2));
        removal(&world, &lock).build().unwrap().run().await.unwrap();
        strategize(describe(&world, &lock, "v1").roll_back_to("v1")).build().unwrap().run().await.unwrap();
        assert_eq!((world.live()[0].0.as_str(), world.live()[0].3), ("v1", 2));
        let status = Operations::new(world.clone()).status(&web()).await.unwrap();
        assert_eq!(status.live.unwrap().release, release("v1").id);
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_wherever_the_process_dies() {
    for point in 1.. {
        let (world, lock) = (World::new(), MemoryLock::new());
        describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
        world.crash_at(Some(point));
        let first = removal(&world, &lock).build().unwrap();
        if world.run(first.run()).await.is_some() {
            assert!(point > 15, "only {point} points were tried");
            break;
        }
        let again = removal(&world, &lock).build().unwrap().run().await;
        // After the last record there is nothing left to remove, and that is no failure.
        again.unwrap_or_else(|error| panic!("point {point}: {error}"));
        assert_eq!(world.live(), [], "point {point}");
        assert_eq!(world.inner().violations, [] as [String; 0], "point {point}");
        let status = Operations::new(world.clone()).status(&web()).await.unwrap();
        assert_eq!((status.live, status.open), (None, None), "point {point}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_done_removal_is_superseded_by_a_deployment() {
    for point in 5..14 {
        let (world, lock) = (World::new(), MemoryLock::new());
        describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
        world.crash_at(Some(point));
        let first = removal(&world, &lock).build().unwrap();
        assert!(world.run(first.run()).await.is_none());
        describe(&world, &lock, "v2").build().unwrap().run().await.unwrap();
        let live = world.live();
        assert_eq!((live.len(), live[0].0.as_str(), live[0].3), (1, "v2", 2), "point {point}");
        assert_eq!(world.inner().violations, [] as [String; 0], "point {point}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_router_without_a_page_needs_an_explicit_word() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    world.inner().no_page = true;
    let error = removal(&world, &lock).build().unwrap_err();
    assert!(matches!(&error, DeployError::Refused(problems) if problems[0].at == "router"), "{error}");
    removal(&world, &lock).without_maintenance().build().unwrap().run().await.unwrap();
    assert_eq!((world.live().len(), world.split()), (0, Some(Split::EMPTY)));
    assert_eq!(world.inner().violations, [] as [String; 0]);
    describe(&world, &lock, "v2").build().unwrap().run().await.unwrap();
    assert_eq!((world.live()[0].0.as_str(), world.live()[0].3), ("v2", 2));
}

#[tokio::test(start_paused = true)]
async fn nothing_known_is_nothing_to_remove_and_an_abort_comes_too_late() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let error = removal(&world, &lock).build().unwrap().run().await.unwrap_err();
    assert!(error.to_string().contains("there is nothing to remove"), "{error}");
    assert!(Deployment::removal("web").build().unwrap_err().to_string().contains("say where instances run"));
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let deployment = removal(&world, &lock).build().unwrap();
    deployment.control().abort("I did not mean it");
    deployment.run().await.unwrap();
    assert_eq!(world.live(), []);
}

#[tokio::test(start_paused = true)]
async fn without_a_router_instances_just_go() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let target = || -> Arc<dyn Target> { Arc::new(world.clone()) };
    let first = Deployment::builder("web").release(release("v1")).replicas(3).strategy(Rolling::default());
    let first = first.target(target()).journal(world.clone()).lock(lock.clone()).clock(world.clock.clone());
    first.build().unwrap().run().await.unwrap();
    assert_eq!(world.live()[0].1, 3);
    let removal = Deployment::removal("web").target(target());
    let removal = removal.journal(world.clone()).lock(lock.clone()).clock(world.clock.clone());
    removal.build().unwrap().run().await.unwrap();
    assert_eq!((world.live().len(), world.calls("shift")), (0, 0));
}

fn first_release_and_a_failing_stage(world: &World, lock: &MemoryLock) -> Deployment {
    let target: Arc<dyn Target> = Arc::new(world.clone());
    let rollout = Deployment::builder("web")
        .release(release("v1"))
        .replicas(2)
        .strategy(Rolling::default())
        .target(target)
        .router(world.clone())
        .check(world.clone());
    let fails = Stage::new("verify", |_| async { Err::<(), _>(StageError::new("it does not answer")) });
    Pipeline::builder("shop")
        .rollout("web", rollout)
        .stage(fails.no_undo().repeatable())
        .journal(world.clone())
        .lock(lock.clone())
        .clock(world.clock.clone())
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_first_release_is_taken_back_to_nothing_if_a_later_stage_fails() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let error = first_release_and_a_failing_stage(&world, &lock).run().await.unwrap_err();
    assert!(matches!(&error, DeployError::RolledBack { .. }), "{error}");
    assert_eq!(world.live(), [], "nothing served before, so nothing serves now");
    assert!(matches!(world.split(), Some(Split::Maintenance(_))), "{:?}", world.split());
    assert_eq!(world.inner().violations, [] as [String; 0]);
    let status = Operations::new(world.clone()).status(&web()).await.unwrap();
    assert_eq!(status.live, None);
    describe(&world, &lock, "v2").build().unwrap().run().await.unwrap();
    assert_eq!((world.live()[0].0.as_str(), world.live()[0].3), ("v2", 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_page_a_first_release_that_serves_is_for_a_person() {
    let (world, lock) = (World::new(), MemoryLock::new());
    world.inner().no_page = true;
    let error = first_release_and_a_failing_stage(&world, &lock).run().await.unwrap_err();
    assert!(matches!(&error, DeployError::Stuck { .. }), "{error}");
    assert!(error.to_string().contains("or remove the workload"), "{error}");
    assert_eq!((world.live()[0].0.as_str(), world.live()[0].3), ("v1", 2), "it still serves");
    removal(&world, &lock).without_maintenance().build().unwrap().run().await.unwrap();
    assert_eq!(world.live(), []);
}
