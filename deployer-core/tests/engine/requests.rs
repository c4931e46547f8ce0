//! What other processes ask of a running deployment.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    engine::{Deployment, DeploymentBuilder},
    error::DeployError,
    event::{Event, EventKind},
    lock::MemoryLock,
    model::WorkloadId,
    operations::{OperationError, Operations},
    pipeline::{Pipeline, Stage, StageContext, StageError},
    ports::{RequestStore as _, Target},
    requests::{FileRequests, MemoryRequests},
    strategy::{BlueGreen, BlueGreenSettings, RequestKind, Rolling},
};

use crate::{describe, journals, release, world::World};

struct Stand {
    world: World,
    lock: MemoryLock,
    requests: MemoryRequests,
    web: WorkloadId,
}

impl Stand {
    async fn serving() -> Self {
        let stand = Self {
            world: World::new(),
            lock: MemoryLock::new(),
            requests: MemoryRequests::new(),
            web: WorkloadId::new("web").unwrap(),
        };
        stand.describe("v1").build().unwrap().run().await.unwrap();
        stand
    }

    fn describe(&self, name: &str) -> DeploymentBuilder {
        describe(&self.world, &self.lock, name).requests(self.requests.clone())
    }

    /// Watched for an hour.
    fn baking(&self, name: &str) -> DeploymentBuilder {
        let settings = BlueGreenSettings { bake: Duration::from_secs(3600), ..BlueGreenSettings::default() };
        self.describe(name).strategy(BlueGreen::new(settings).unwrap())
    }

    fn operations(&self) -> Operations {
        Operations::new(self.world.clone()).lock(self.lock.clone()).requests(self.requests.clone())
    }

    async fn newest(&self) -> Vec<Event> {
        journals(&self.world).await.pop().unwrap()
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn another_process_pauses_resumes_promotes_and_scales() {
    let stand = Stand::serving().await;
    let (operations, web) = (stand.operations(), &stand.web);
    let deployment = stand.baking("v2").build().unwrap();
    let started = tokio::time::Instant::now();
    let (result, ()) = tokio::join!(deployment.run(), async {
        seconds(60).await;
        let asked = operations.pause(web).await.unwrap();
        assert_eq!((asked.number, asked.is_driven), (1, Some(true)));
        seconds(2).await;
        let status = operations.status(web).await.unwrap();
        let open = status.open.unwrap();
        assert!(open.requests[0].taken_in, "{open:?}");
        let rollout = open.stage.unwrap().rollout.unwrap();
        assert!(rollout.paused_since.is_some());
        assert_eq!(rollout.waits_for.as_deref(), Some("a person: it is paused, resume to go on"));
        assert_eq!(operations.resume(web).await.unwrap().number, 2);
        assert_eq!(operations.scale_running(web, 3).await.unwrap().number, 3);
        seconds(60).await;
        assert_eq!(operations.promote(web).await.unwrap().number, 4);
    });
    result.unwrap();
    assert!(started.elapsed() < Duration::from_secs(200), "promoted: {:?}", started.elapsed());
    assert_eq!((world_size(&stand), stand.world.inner().violations.len()), (3, 0));
    let whys: Vec<String> = stand
        .newest()
        .await
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Advanced { why, .. } if why.contains("by request") => Some(why),
            _ => None,
        })
        .collect();
    assert_eq!(whys.len(), 4, "{whys:?}");
    let owner = format!(":{}:", std::process::id());
    assert!(whys.iter().all(|why| why.contains(" of ") && why.contains(&owner)), "who asked: {whys:?}");
}

fn world_size(stand: &Stand) -> usize {
    stand.world.live()[0].1
}

#[tokio::test(start_paused = true)]
async fn another_process_aborts() {
    let stand = Stand::serving().await;
    let deployment = stand.baking("v2").build().unwrap();
    let (result, ()) = tokio::join!(deployment.run(), async {
        seconds(60).await;
        let _ = stand.operations().abort(&stand.web, "it looks bad").await.unwrap();
    });
    let error = result.unwrap_err();
    assert!(matches!(&error, DeployError::Aborted { reason, .. } if reason == "it looks bad"), "{error}");
    assert_eq!(stand.world.live()[0].0, "v1");
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_asked_of_what_has_ended() {
    let stand = Stand::serving().await;
    let error = stand.operations().abort(&stand.web, "too late").await.unwrap_err();
    assert!(matches!(error, OperationError::NothingOpen { .. }));
    let text = error.to_string();
    assert!(text.contains("no deployment is open") && text.contains("v1 of web  succeeded"), "{text}");
    let nobody = WorkloadId::new("nobody").unwrap();
    assert!(stand.operations().pause(&nobody).await.is_err());
    let nowhere = Operations::new(stand.world.clone());
    assert!(matches!(nowhere.pause(&stand.web).await, Err(OperationError::NoStore)));
}

/// How often each kind of request was taken in.
fn taken(events: &[Event]) -> (usize, usize) {
    let count = |what: &str| {
        let is =
            |event: &&Event| matches!(&event.kind, EventKind::Advanced { why, .. } if why.starts_with(what));
        events.iter().filter(is).count()
    };
    (count("paused by request"), count("scaled by request"))
}

/// The process dies at each point while requests come in; the next one takes each in exactly once all the same.
#[tokio::test(start_paused = true)]
async fn each_request_is_taken_in_once_wherever_the_process_dies() {
    let mut tried = 0;
    for point in 1.. {
        let stand = Stand::serving().await;
        let first = stand.baking("v2").build().unwrap();
        let (first, ()) = tokio::join!(stand.world.run(first.run()), async {
            seconds(60).await;
            stand.world.crash_at(Some(point));
            let operations = stand.operations();
            let _ = operations.pause(&stand.web).await;
            let _ = operations.resume(&stand.web).await;
            let _ = operations.scale_running(&stand.web, 3).await;
            seconds(60).await;
            let _ = operations.promote(&stand.web).await;
        });
        if first.is_some() {
            break;
        }
        tried += 1;
        let again = stand.baking("v2").build().unwrap();
        let (result, ()) = tokio::join!(again.run(), async {
            seconds(120).await;
            let _ = stand.operations().promote(&stand.web).await;
        });
        let report = result.unwrap_or_else(|error| panic!("point {point}: {error}"));
        let events = stand.newest().await;
        if report.resumed == 0 {
            // It died behind its last record: the second run repaired what was live, and heard of nothing.
            continue;
        }
        assert_eq!(taken(&events), (1, 1), "point {point}");
        assert_eq!((world_size(&stand), stand.world.inner().violations.len()), (3, 0), "point {point}");
    }
    assert!(tried > 15, "only {tried} points were tried");
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_dead_deployment_do_not_reach_the_next() {
    let stand = Stand::serving().await;
    let first = stand.baking("v2").build().unwrap();
    let (first, ()) =
        tokio::join!(async { tokio::time::timeout(Duration::from_secs(60), first.run()).await }, async {
            seconds(61).await;
            // Its process is gone.
            let asked = stand.operations().abort(&stand.web, "bad").await.unwrap();
            assert_eq!(asked.is_driven, Some(false), "nobody is there to take it in");
        });
    assert!(first.is_err());
    let status = stand.operations().status(&stand.web).await.unwrap().to_string();
    assert!(status.contains("abort, because bad") && status.contains("not taken in yet"), "{status}");
    stand.describe("v3").build().unwrap().run().await.unwrap();
    assert_eq!(stand.world.live()[0].0, "v3");
}

#[tokio::test(start_paused = true)]
async fn it_works_through_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::serving().await;
    let files = || FileRequests::open(directory.path()).unwrap();
    let deployment = stand.baking("v2").requests(files()).build().unwrap();
    let (result, ()) = tokio::join!(deployment.run(), async {
        seconds(60).await;
        let operations = Operations::new(stand.world.clone()).requests(files());
        let _ = operations.promote_fully(&stand.web).await.unwrap();
    });
    let report = result.unwrap();
    let posted = files().since(&stand.web, &report.deployment, 0).await.unwrap();
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].kind, RequestKind::PromoteFully);
}

/// A stage of one's own is told, and what ran before it is undone.
#[tokio::test(start_paused = true)]
async fn a_pipeline_listens_between_and_in_its_stages() {
    let stand = Stand::serving().await;
    let slow = Stage::new("slow", |context: StageContext| async move {
        context.asked_to_stop().await;
        Err::<(), _>(StageError::new("told to stop"))
    });
    let target: Arc<dyn Target> = Arc::new(stand.world.clone());
    let rollout = Deployment::builder("web").release(release("v2")).replicas(2).strategy(Rolling::default());
    let deployment = Pipeline::builder("shop")
        .rollout("web", rollout.target(target).router(stand.world.clone()).check(stand.world.clone()))
        .stage(slow.no_undo().repeatable())
        .journal(stand.world.clone())
        .lock(stand.lock.clone())
        .clock(stand.world.clock.clone())
        .requests(stand.requests.clone())
        .build()
        .unwrap();
    let (result, ()) = tokio::join!(deployment.run(), async {
        seconds(60).await;
        let status = stand.operations().status(&stand.web).await.unwrap();
        let stage = status.open.unwrap().stage.unwrap();
        assert_eq!((stage.id.as_str(), stage.number, stage.of, stage.has_begun), ("slow", 2, 2, true));
        let _ = stand.operations().abort(&stand.web, "not today").await.unwrap();
    });
    let error = result.unwrap_err();
    assert!(matches!(&error, DeployError::Aborted { reason, .. } if reason == "not today"), "{error}");
    assert_eq!(stand.world.live()[0].0, "v1");
    let asked = stand.newest().await.into_iter().find_map(|event| match event.kind {
        EventKind::Requested { request } => request.posted,
        _ => None,
    });
    assert_eq!(asked.unwrap().number, 1, "the journal says who asked");
}
