//! The fake world as a rig, with or without something broken around its ports.

use std::{
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use deployer_core::{
    model::{InstanceId, InstancePhase, Member, Place, PinnedRelease, Release, ReleaseId, SetId, SetSpec, WorkloadId},
    ports::{CallContext, Clock as _, Target, TrafficRouter},
};
use deployer_testkit::{
    TestClock,
    conformance::{RealInstance, ReleaseKind, RouterRig, TargetRig},
    world::{Behaviour, World, WorldSettings},
};
use serde_json::json;

/// What a broken implementation is made of.
pub(crate) type Around<P> = fn(Arc<P>) -> Arc<P>;

/// The fake world as a rig.
#[derive(Debug, Clone)]
pub(crate) struct FakeRig {
    pub(crate) world: World,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) target: Around<dyn Target>,
    pub(crate) router: Around<dyn TrafficRouter>,
}

impl FakeRig {
    pub(crate) fn new(settings: WorldSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        let world = World::new(settings, clock.clone());
        Self { world, clock, target: |target| target, router: |router| router }
    }

    /// With this around its target.
    pub(crate) fn breaking_target(target: Around<dyn Target>) -> Self {
        Self { target, ..Self::new(WorldSettings::default()) }
    }

    /// With this around its router.
    pub(crate) fn breaking_router(router: Around<dyn TrafficRouter>) -> Self {
        Self { router, ..Self::new(WorldSettings::default()) }
    }

    /// A release that behaves so, whatever it is called.
    pub(crate) fn release_of(&self, id: ReleaseId, kind: ReleaseKind) -> Option<Release> {
        let (artifact, behaviour) = match kind {
            ReleaseKind::Good => ("image:1", Behaviour::default()),
            ReleaseKind::OtherGood => ("image:2", Behaviour::default()),
            ReleaseKind::Missing => ("image:0", Behaviour { missing: true, ..Behaviour::default() }),
            ReleaseKind::ExitsAtOnce => {
                ("image:3", Behaviour { dies_after: Some(Duration::ZERO), ..Behaviour::default() })
            }
            ReleaseKind::IgnoresStop => ("image:4", Behaviour { ignores_stop: true, ..Behaviour::default() }),
            _ => return None,
        };
        // The world knows behaviours by name: they hold until the next release of this name is made.
        self.world.behave(id.clone(), behaviour);
        Some(Release { id, artifact: artifact.to_owned(), config: json!(null), secrets: Vec::new() })
    }
}

#[async_trait]
impl TargetRig for FakeRig {
    async fn target(&self, _workload: &WorkloadId) -> Arc<dyn Target> {
        (self.target)(self.world.target())
    }

    fn release(&self, id: ReleaseId, kind: ReleaseKind) -> Option<Release> {
        self.release_of(id, kind)
    }

    fn wrong_config(&self, id: ReleaseId) -> Option<(Release, Vec<String>)> {
        let release = self.release_of(id, ReleaseKind::Good)?;
        Some((Release { config: json!("text"), ..release }, vec!["config".to_owned()]))
    }

    async fn reality(&self, workload: &WorkloadId) -> Option<Vec<RealInstance>> {
        let labels = self.world.labels(workload).into_iter();
        let real = labels.map(|labels| RealInstance {
            instance: labels.instance,
            set: labels.set,
            deployment: Some(labels.deployment),
            epoch: Some(labels.epoch),
        });
        Some(real.collect())
    }

    async fn kill(&self, _workload: &WorkloadId, instance: &InstanceId) -> bool {
        self.world.kill(instance);
        true
    }

    async fn partition(&self, place: &Place) -> bool {
        self.world.partition(place, "no route to host");
        true
    }

    async fn heal(&self, place: &Place) {
        self.world.heal(place);
    }
}

#[async_trait]
impl RouterRig for FakeRig {
    async fn router(&self, _workload: &WorkloadId) -> Arc<dyn TrafficRouter> {
        (self.router)(self.world.router())
    }

    async fn members(&self, workload: &WorkloadId, set: &SetId, count: usize) -> Vec<Member> {
        let release = self.release_of(set.release(), ReleaseKind::Good).unwrap();
        let target = self.world.target();
        let context = CallContext {
            workload: workload.clone(),
            deployment: "members".parse().unwrap(),
            epoch: deployer_core::model::Epoch(5),
            deadline: Duration::from_secs(10),
        };
        let artifact = target.prepare(&context, &release).await.unwrap();
        let spec = SetSpec { set: set.clone(), replicas: u32::try_from(count).unwrap(), remove_first: Vec::new() };
        target.apply(&context, &PinnedRelease { release, artifact }, &spec).await.unwrap();
        loop {
            let view = target.observe(&context).await.unwrap();
            let seen = view.sets.into_iter().find(|seen| seen.set == *set).unwrap().instances;
            if seen.iter().all(|one| matches!(one.phase, InstancePhase::Running { .. })) {
                return seen.into_iter().map(|one| Member { instance: one.id, address: one.address }).collect();
            }
            self.clock.sleep(Duration::from_millis(50)).await;
        }
    }
}
