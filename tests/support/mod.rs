//! A workload in the fake world, with v1 serving, and deployments of it.
#![allow(dead_code, clippy::unwrap_used, reason = "support of tests, each of which uses a part")]

use std::{sync::Arc, time::Duration};

use deployer::{
    engine::{Deployment, DeploymentBuilder},
    event::{Event, EventKind},
    journal::MemoryJournal,
    lock::MemoryLock,
    model::{
        Amount, DeploymentId, Percent, ReleaseId, Replicas, RolloutSettings, SetId, Timestamp, WorkloadId,
    },
    ports::{Clock as _, Journal as _},
    strategy::{
        BlueGreen, BlueGreenSettings, Canary, CanarySettings, CanaryStep, Command, Recreate, Rolling,
        RollingSettings, StepPause, Strategy,
    },
};
use deployer_testkit::{
    TestClock,
    world::{Behaviour, World, WorldSettings},
};

pub(crate) const REPLICAS: u32 = 4;

/// One workload of a fake world.
pub(crate) struct Stand {
    pub(crate) world: World,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) lock: Arc<MemoryLock>,
    pub(crate) workload: WorkloadId,
}

impl Stand {
    /// Nothing runs yet.
    pub(crate) fn empty(settings: WorldSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        Self {
            world: World::new(settings, clock.clone()),
            clock,
            journal: Arc::new(MemoryJournal::new()),
            lock: Arc::new(MemoryLock::new()),
            workload: WorkloadId::new("web").unwrap(),
        }
    }

    /// v1 was deployed and serves.
    pub(crate) async fn serving() -> Self {
        let stand = Self::empty(WorldSettings::default());
        stand.deployment("v1", Rolling::default()).build().unwrap().run().await.unwrap();
        stand
    }

    pub(crate) fn deployment(&self, release: &str, strategy: impl Strategy) -> DeploymentBuilder {
        Deployment::builder(self.workload.clone())
            .release(World::release(ReleaseId::new(release).unwrap()).release)
            .replicas(Replicas::Fixed(REPLICAS))
            .strategy(Arc::new(strategy))
            .target(self.world.target())
            .router(self.world.router())
            .check(self.world.health())
            .settings(RolloutSettings {
                start_deadline: Duration::from_secs(20),
                ..RolloutSettings::default()
            })
            .journal(self.journal.clone())
            .lock(self.lock.clone())
            .clock(self.clock.clone())
    }

    pub(crate) fn behave(&self, release: &str, behaviour: Behaviour) {
        self.world.behave(ReleaseId::new(release).unwrap(), behaviour);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The commands that the last deployment journaled before it did them.
    pub(crate) async fn intents(&self) -> Vec<Vec<Command>> {
        let intent = |event: Event| match event.kind {
            EventKind::Intent { commands, .. } => Some(commands),
            _ => None,
        };
        self.events().await.into_iter().filter_map(intent).collect()
    }

    /// What the last deployment journaled.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let last: DeploymentId = self.journal.list(&self.workload).await.unwrap().pop().unwrap();
        self.journal.load(&last).await.unwrap()
    }

    /// Fails unless exactly this release is live, alone, whole and alone in rotation, and nobody was hurt on the way.
    #[track_caller]
    pub(crate) fn assert_live(&self, release: &str, replicas: u32) {
        let set = SetId::new(release).unwrap();
        let orphans = self.world.orphans(&self.workload, std::slice::from_ref(&set));
        assert!(orphans.is_empty(), "left behind: {orphans:?}");
        assert_eq!(self.world.available(&self.workload), replicas);
        assert_eq!(self.world.total(&self.workload), replicas);
        let rotation = self.world.in_rotation(&self.workload);
        assert!(rotation.iter().all(|id| id.as_str().starts_with(release)), "in rotation: {rotation:?}");
        let caused: Vec<_> =
            self.world.incidents().into_iter().filter(deployer_testkit::world::Incident::is_caused).collect();
        assert!(caused.is_empty(), "{caused:?}");
    }
}

pub(crate) fn rolling(surge: u32, max_unavailable: u32) -> Rolling {
    let settings = RollingSettings {
        surge: Amount::Count(surge),
        max_unavailable: Amount::Count(max_unavailable),
        ..RollingSettings::default()
    };
    Rolling::new(settings).unwrap()
}

pub(crate) fn blue_green() -> BlueGreen {
    BlueGreen::new(BlueGreenSettings { candidate: Amount::Count(2), ..BlueGreenSettings::default() }).unwrap()
}

pub(crate) fn canary(pause: StepPause) -> Canary {
    let step = |weight| CanaryStep { weight: Percent::new(weight).unwrap(), instances: None, pause };
    let steps = vec![step(25), step(50)];
    Canary::new(CanarySettings { steps, ..CanarySettings::default() }).unwrap()
}

/// Every strategy that keeps serving, and recreate.
pub(crate) fn strategies() -> Vec<Arc<dyn Strategy>> {
    vec![
        Arc::new(rolling(1, 0)),
        Arc::new(rolling(0, 1)),
        Arc::new(rolling(2, 1)),
        Arc::new(blue_green()),
        Arc::new(canary(StepPause::For(Duration::from_secs(5)))),
        Arc::new(Recreate::default()),
    ]
}
