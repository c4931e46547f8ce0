//! Several stages, and several workloads, in one deployment.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use deployer::{
    engine::{Deployment, DeploymentBuilder},
    error::DeployError,
    model::WorkloadId,
    operations::{HistoryEntry, Operations},
    pipeline::{Hook, Pipeline, PipelineBuilder, Stage, StageError},
    ports::SystemClock,
};
use deployer_testkit::world::{Behaviour, World};

use crate::support::{Scene, rolling};

fn pipeline(scene: &Scene) -> PipelineBuilder {
    let pipeline = Pipeline::builder("shop").journal(scene.journal.clone()).lock(scene.lock.clone());
    pipeline.clock(scene.clock.clone())
}

fn rollout(scene: &Scene, workload: &str, release: &str) -> DeploymentBuilder {
    let release = World::release(release.try_into().unwrap()).release;
    let rollout = Deployment::builder(workload).release(release).replicas(2).strategy(rolling(1, 0));
    rollout.target(scene.world.target()).router(scene.world.router()).check(scene.world.health())
}

pub(crate) async fn stages_are_undone_in_reverse_order_once_each() {
    let scene = Scene::serving(2).await;
    let undone = Arc::new(Mutex::new(Vec::new()));
    let stage = |name: &'static str| {
        let undone = undone.clone();
        let work = Stage::new(name, move |context| async move {
            if name == "third" {
                context.asked_to_stop().await;
                return Err(StageError::new("stopped"));
            }
            Ok(())
        });
        work.undo(move |_| {
            undone.lock().unwrap().push(name);
            async { Ok(()) }
        })
        .repeatable()
    };
    let deployment = pipeline(&scene).stage(stage("first")).stage(stage("second")).stage(stage("third"));
    let deployment = deployment.rollout("web", rollout(&scene, "web", "v2")).build().unwrap();
    let person = async {
        // Simulates a person who takes a while.
        tokio::time::sleep(Duration::from_secs(5)).await;
        deployment.control().abort("not today");
    };
    let (ended, ()) = tokio::join!(deployment.run(), person);
    assert!(matches!(ended, Err(DeployError::Aborted { .. })), "{ended:?}");
    assert_eq!(*undone.lock().unwrap(), ["third", "second", "first"]);
    scene.assert_live("v1");
}

pub(crate) async fn workers_wait_for_the_first_healthy_web_instance() {
    let scene = Scene::serving(2).await;
    let workers = WorkloadId::new("workers").unwrap();
    let first = pipeline(&scene).rollout("workers", rollout(&scene, "workers", "v1"));
    first.build().unwrap().run().await.unwrap();
    let before = scene.world.labels(&workers);
    scene.behave("v2", Behaviour { never_ready: true, ..Behaviour::default() });
    let both = pipeline(&scene)
        .rollout("web", rollout(&scene, "web", "v2"))
        .rollout("workers", rollout(&scene, "workers", "v2"));
    let ended = both.build().unwrap().run().await;
    assert!(matches!(ended, Err(DeployError::RolledBack { .. })), "{ended:?}");
    assert_eq!(scene.world.labels(&workers), before, "they run on as they were");
    scene.assert_live("v1");
}

pub(crate) async fn a_hook_that_fails_touches_no_instance_and_shows_what_it_said() {
    let scene = Scene::serving(2).await;
    let before = scene.written();
    let hook = Hook::new("/bin/sh").args(["-c", "echo the bucket is missing >&2; exit 7"]);
    let fails = Stage::of("prepare", hook).no_undo().repeatable();
    // A real program takes real time.
    tokio::time::resume();
    let deployment = pipeline(&scene).clock(SystemClock::new()).stage(fails);
    let ended = deployment.rollout("web", rollout(&scene, "web", "v2")).build().unwrap().run().await;
    tokio::time::pause();
    let text = ended.unwrap_err().to_string();
    assert!(text.contains("exit status: 7") && text.contains("the bucket is missing"), "{text}");
    let hangs = Stage::new("hangs", |_| async move {
        std::future::pending::<()>().await;
        Ok(())
    });
    let deployment = pipeline(&scene).stage(hangs.no_undo().repeatable().deadline(Duration::from_secs(9)));
    let ended = deployment.rollout("web", rollout(&scene, "web", "v2")).build().unwrap().run().await;
    let text = ended.unwrap_err().to_string();
    assert!(text.contains("did not end within 9s"), "{text}");
    assert_eq!(scene.written(), before, "no instance and no route was touched");
    scene.assert_live("v1");
}

pub(crate) async fn a_rollback_to_an_unknown_release_stops_nothing_and_runs_nothing_after_it() {
    let scene = Scene::serving(2).await;
    let before = scene.written();
    let ran = Arc::new(Mutex::new(false));
    let seen = ran.clone();
    let after = Stage::new("announce", move |_| {
        *seen.lock().unwrap() = true;
        async { Ok(()) }
    });
    let back = rollout(&scene, "web", "v2").roll_back_to("v7");
    let deployment = pipeline(&scene).rollout("web", back).stage(after.no_undo().repeatable());
    let error = deployment.build().unwrap().run().await.unwrap_err();
    let DeployError::Refused(problems) = &error else { panic!("{error}") };
    assert!(problems[0].message.contains("v7") && problems[0].message.contains("v1"), "{problems:?}");
    assert!(!*ran.lock().unwrap());
    assert_eq!(scene.written(), before);
    scene.assert_live("v1");
}

pub(crate) async fn a_rollback_takes_that_release_whole_and_the_history_has_both_moves() {
    let scene = Scene::serving(2).await;
    scene.go_live("v2").await;
    let operations = Operations::new(scene.journal.clone());
    let pinned = operations.release(&scene.workload, &"v1".try_into().unwrap()).await.unwrap();
    let back = scene.deployment("v2", rolling(1, 0)).roll_back_to("v1");
    back.build().unwrap().run().await.unwrap();
    scene.assert_live("v1");
    let digests = scene.world.digests(&scene.workload);
    assert!(digests.iter().all(|(_, digest)| *digest == pinned.artifact.digest), "{digests:?}");
    let history = operations.history(&scene.workload).await.unwrap();
    let moves: Vec<String> = history
        .iter()
        .map(|entry| match entry {
            HistoryEntry::Deployment(past) => past.releases[0].release.to_string(),
            HistoryEntry::Unreadable(unreadable) => panic!("{unreadable:?}"),
        })
        .collect();
    assert_eq!(moves, ["v1", "v2", "v1"]);
}
