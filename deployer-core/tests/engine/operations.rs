//! What can be known of a workload without the process that deploys it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    event::{Event, EventKind},
    lock::MemoryLock,
    model::{AttachPoint, DeploymentId, ReleaseId, Timestamp, WorkloadId},
    operations::{HistoryEntry, LockStatus, Operations, Status},
    ports::{CallContext, Gate, GateAnswer, GateWindow, Journal as _},
    strategy::{BlueGreen, BlueGreenSettings, Direction, Outcome, Phase, Verdict},
};

use crate::{describe, release, world::World};

fn web() -> WorkloadId {
    WorkloadId::new("web").unwrap()
}

fn operations(world: &World, lock: &MemoryLock) -> Operations {
    Operations::new(world.clone()).lock(lock.clone())
}

#[derive(Debug)]
struct Thinking;

#[async_trait]
impl Gate for Thinking {
    fn describe(&self) -> String {
        "thinks".into()
    }

    async fn evaluate(&self, _context: &CallContext, window: &GateWindow) -> GateAnswer {
        let verdict = Verdict::Hold { reason: "hm".into() };
        GateAnswer {
            verdict,
            memory: serde_json::Value::Null,
            next_at: window.now.after(Duration::from_secs(5)),
        }
    }
}

fn watched() -> BlueGreen {
    let settings = BlueGreenSettings { bake: Duration::from_secs(3600), ..BlueGreenSettings::default() };
    BlueGreen::new(settings).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_nobody_deployed() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let status = operations(&world, &lock).status(&web()).await.unwrap();
    assert_eq!((&status.lock, &status.live, &status.open), (&LockStatus::Free, &None, &None));
    assert_eq!(
        status.to_string(),
        "workload: web\nlive: nothing that the journal knows\nlock: free\nopen: nothing\n"
    );
    assert_eq!(operations(&world, &lock).history(&web()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn while_it_runs_it_says_where_it_is_and_what_it_waits_for() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let deployment = describe(&world, &lock, "v2")
        .strategy(watched())
        .gate(AttachPoint::BeforeTraffic, "team", Thinking)
        .build()
        .unwrap();
    let control = deployment.control();
    let operations = operations(&world, &lock);
    let looks = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let held = operations.status(&web()).await.unwrap();
        control.promote_fully();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let baking = operations.status(&web()).await.unwrap();
        control.abort("enough");
        (held, baking)
    };
    let (result, (held, _)) = tokio::join!(deployment.run(), looks);
    let open = held.open.as_ref().unwrap();
    let rollout = open.stage.as_ref().unwrap().rollout.as_ref().unwrap();
    assert_eq!((rollout.release.as_str(), rollout.phase), ("v2", Phase::Provisioning));
    assert_eq!((rollout.direction == Direction::Forward, rollout.replicas), (true, 2));
    assert!(rollout.waits_for.as_ref().unwrap().starts_with("gate team, asked since "), "{rollout:?}");
    assert_eq!((open.is_driven, open.interrupted.as_deref()), (Some(true), None));
    assert_eq!(held.live.as_ref().unwrap().release.as_str(), "v1");
    let LockStatus::Held(holder) = &held.lock else { panic!("{:?}", held.lock) };
    assert!(held.to_string().contains(&format!("driven by {}", holder.owner)), "{held}");
    let json = serde_json::to_string(&held).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), held);
    drop(result);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_whose_process_is_gone_says_so() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let deployment = describe(&world, &lock, "v2").strategy(watched()).build().unwrap();
    let died = tokio::time::timeout(Duration::from_secs(60), deployment.run()).await;
    assert!(died.is_err());
    let status = operations(&world, &lock).status(&web()).await.unwrap();
    let open = status.open.as_ref().unwrap();
    assert_eq!((open.is_driven, &status.lock), (Some(false), &LockStatus::Free));
    let text = status.to_string();
    assert!(text.contains("which is gone; run it again to resume it"), "{text}");
    assert!(text.contains("waits for the time to watch the new release, until "), "{text}");

    let again = describe(&world, &lock, "v2").strategy(watched()).build().unwrap();
    let control = again.control();
    let (result, ()) = tokio::join!(again.run(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        lock.declare_dead(&web());
        let status = operations(&world, &lock).status(&web()).await.unwrap();
        assert_eq!(status.open.as_ref().unwrap().is_driven, Some(false), "a dead holder drives nothing");
        assert!(status.to_string().contains("which is dead: it can be taken over"), "{status}");
        control.interrupt("SIGTERM");
    });
    result.unwrap_err();
    let status = operations(&world, &lock).status(&web()).await.unwrap();
    assert_eq!(status.open.as_ref().unwrap().interrupted.as_deref(), Some("SIGTERM"));
    assert_eq!(status.open.as_ref().unwrap().about.owners.len(), 2);
    assert!(status.to_string().contains("interrupted (SIGTERM); run it again to resume it"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn the_history_is_newest_first_and_a_broken_journal_hides_no_other() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    world.inner().bad.insert(release("v2").id);
    describe(&world, &lock, "v2").build().unwrap().run().await.unwrap_err();
    let broken = Event {
        deployment: DeploymentId::new("broken").unwrap(),
        seq: 0,
        epoch: deployer_core::model::Epoch(99),
        at: Timestamp::default(),
        path: Vec::new(),
        kind: EventKind::StageStarted,
    };
    world.journal.create(&[web()], &broken).await.unwrap();
    let operations = operations(&world, &lock);
    let history = operations.history(&web()).await.unwrap();
    let [
        HistoryEntry::Unreadable(unreadable),
        HistoryEntry::Deployment(second),
        HistoryEntry::Deployment(first),
    ] = &history[..]
    else {
        panic!("{history:?}")
    };
    assert_eq!(unreadable.deployment.as_str(), "broken");
    assert!(matches!(second.outcome, Some(Outcome::RolledBack { .. })));
    assert_eq!((first.releases[0].release.as_str(), &first.outcome), ("v1", &Some(Outcome::Succeeded)));
    assert!(first.finished_at.unwrap() > first.started_at);
    assert!(first.owners[0].contains(&format!(":{}:", std::process::id())));
    assert!(history[2].to_string().contains("v1 of web  succeeded at "), "{}", history[2]);
    let json = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<Vec<HistoryEntry>>(&json).unwrap(), history);

    let status = operations.status(&web()).await.unwrap();
    assert_eq!(status.unreadable, std::slice::from_ref(unreadable));
    assert_eq!(status.live.unwrap().release.as_str(), "v1");
    assert_eq!(status.last.as_ref(), Some(second));
    let pinned = operations.release(&web(), &ReleaseId::new("v1").unwrap()).await.unwrap();
    assert_eq!((&*pinned.artifact.digest, pinned.release), ("sha:v1", release("v1")));
    let error = operations.release(&web(), &ReleaseId::new("v2").unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("there is v1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn shared_ports_are_taken_too() {
    let world = World::new();
    let journal: Arc<dyn deployer_core::ports::Journal> = Arc::new(world.journal.clone());
    assert!(Operations::new(journal).status(&web()).await.unwrap().live.is_none());
}
