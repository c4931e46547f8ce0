//! Two workloads of one fake world, and stages that write down what they did.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use deployer::{
    engine::{Deployment, DeploymentBuilder},
    event::{Event, EventKind},
    model::{DeploymentId, ReleaseId, SetId, WorkloadId},
    pipeline::{Pipeline, PipelineBuilder, Stage, StageError, StageWithoutUndo},
    ports::Journal as _,
};
use deployer_testkit::world::{Behaviour, Incident, World};

use crate::support::{Stand, rolling};

pub(crate) const REPLICAS: u32 = 2;

/// The workloads `web` and `api`, both with v1 serving, and what stages did.
pub(crate) struct Shop {
    pub(crate) stand: Stand,
    did: Arc<Mutex<Vec<String>>>,
}

impl Shop {
    pub(crate) async fn serving() -> Self {
        let shop = Self::empty();
        shop.release("v1").build().unwrap().run().await.unwrap();
        shop
    }

    pub(crate) fn empty() -> Self {
        Self { stand: Stand::empty(deployer_testkit::world::WorldSettings::default()), did: Arc::default() }
    }

    /// Both workloads get this release.
    pub(crate) fn release(&self, release: &str) -> PipelineBuilder {
        self.pipeline()
            .rollout("api", self.rollout("api", release))
            .rollout("web", self.rollout("web", release))
    }

    pub(crate) fn pipeline(&self) -> PipelineBuilder {
        Pipeline::builder("shop")
            .journal(self.stand.journal.clone())
            .lock(self.stand.lock.clone())
            .clock(self.stand.clock.clone())
    }

    pub(crate) fn rollout(&self, workload: &str, release: &str) -> DeploymentBuilder {
        Deployment::builder(workload)
            .release(World::release(ReleaseId::new(release).unwrap()).release)
            .replicas(REPLICAS)
            .strategy(rolling(1, 0))
            .target(self.stand.world.target())
            .router(self.stand.world.router())
            .check(self.stand.world.health())
            .settings(deployer::model::RolloutSettings {
                start_deadline: Duration::from_secs(20),
                ..Default::default()
            })
    }

    /// A stage that writes down its name, and returns it.
    pub(crate) fn stage(&self, name: &'static str) -> StageWithoutUndo {
        let did = self.did.clone();
        Stage::new(name, move |_| {
            did.lock().unwrap().push(name.to_owned());
            async move { Ok(name) }
        })
    }

    /// A stage with an undo, both written down.
    pub(crate) fn undoable(&self, name: &'static str) -> Stage {
        let did = self.did.clone();
        self.stage(name)
            .undo(move |_| {
                did.lock().unwrap().push(format!("undo {name}"));
                async { Ok(()) }
            })
            .repeatable()
    }

    /// A stage with an undo that fails.
    pub(crate) fn failing(&self, name: &'static str) -> Stage {
        let (did, undone) = (self.did.clone(), self.did.clone());
        Stage::new(name, move |_| {
            did.lock().unwrap().push(name.to_owned());
            async { Err::<(), _>(StageError::new("no such table")) }
        })
        .undo(move |_| {
            undone.lock().unwrap().push(format!("undo {name}"));
            async { Ok(()) }
        })
        .repeatable()
    }

    /// Something that a stage of a test did.
    pub(crate) fn log(&self) -> Arc<Mutex<Vec<String>>> {
        self.did.clone()
    }

    /// What stages did since the last time.
    pub(crate) fn did(&self) -> Vec<String> {
        std::mem::take(&mut self.did.lock().unwrap())
    }

    pub(crate) fn break_release(&self, release: &str) {
        self.stand.behave(release, Behaviour { never_ready: true, ..Behaviour::default() });
    }

    pub(crate) fn mend_release(&self, release: &str) {
        self.stand.behave(release, Behaviour::default());
    }

    /// Fails unless exactly this release of the workload is live, whole, alone and alone in rotation.
    #[track_caller]
    pub(crate) fn assert_live(&self, workload: &str, release: &str) {
        let world = &self.stand.world;
        let (workload, set) = (WorkloadId::new(workload).unwrap(), SetId::new(release).unwrap());
        assert_eq!(world.orphans(&workload, std::slice::from_ref(&set)), [], "{workload}");
        assert_eq!((world.available(&workload), world.total(&workload)), (REPLICAS, REPLICAS), "{workload}");
        let instances = world.labels(&workload);
        assert!(instances.iter().all(|instance| instance.set == set), "{workload}: {instances:?}");
        let caused: Vec<_> = world.incidents().into_iter().filter(Incident::is_caused).collect();
        assert!(caused.is_empty(), "{caused:?}");
    }

    /// What the newest deployment journaled, which both workloads have.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let lists = ["api", "web"].map(|workload| WorkloadId::new(workload).unwrap());
        let mut newest: Vec<DeploymentId> = Vec::new();
        for workload in &lists {
            newest.extend(self.stand.journal.list(workload).await.unwrap().pop());
        }
        newest.dedup();
        assert_eq!(newest.len(), 1, "{newest:?}");
        self.stand.journal.load(&newest[0]).await.unwrap()
    }

    /// The stage records of the newest deployment, in order: `migrate starts`, `migrate undone`.
    pub(crate) async fn story(&self) -> Vec<String> {
        let tell = |event: Event| {
            let what = match event.kind {
                EventKind::StageStarted => "starts",
                EventKind::StageSucceeded { .. } => "done",
                EventKind::StageFailed { .. } => "failed",
                EventKind::UndoStarted => "undo",
                EventKind::UndoFinished => "undone",
                EventKind::UndoFailed { .. } => "undo failed",
                _ => return None,
            };
            Some(format!("{} {what}", event.path.last()?))
        };
        self.events().await.into_iter().filter_map(tell).collect()
    }
}
