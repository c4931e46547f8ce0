//! The fake world as a rig, with or without something broken around its ports.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use deployer_core::{
    model::{
        InstanceId, InstancePhase, Member, PinnedRelease, Place, Release, ReleaseId, SetId, SetSpec,
        WorkloadId,
    },
    ports::{CallContext, Clock, HealthCheck, Target, TrafficRouter},
};
use deployer_testkit::{
    TestClock,
    conformance::{DeploymentRig, RealInstance, ReleaseKind, RouterRig, TargetRig},
    world::{Behaviour, World, WorldSettings},
};
use serde_json::json;

/// What a broken implementation is made of.
pub(crate) type Around<P> = Box<dyn Fn(Arc<P>) -> Arc<P> + Send + Sync>;

/// The fake world as a rig.
pub(crate) struct FakeRig {
    pub(crate) world: World,
    pub(crate) settings: WorldSettings,
    /// Worlds of single workloads, where so many come that one world would remember too much.
    pub(crate) own: Option<Mutex<BTreeMap<WorkloadId, World>>>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) target_fault: Option<Around<dyn Target>>,
    pub(crate) router_fault: Option<Around<dyn TrafficRouter>>,
    pub(crate) budget: Duration,
    pub(crate) is_routed: bool,
}

impl std::fmt::Debug for FakeRig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeRig").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl FakeRig {
    pub(crate) fn new(settings: WorldSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        let is_routed = settings.routed;
        let world = World::new(settings.clone(), clock.clone());
        // Of its own time, which passes quickly.
        let budget = Duration::from_secs(24 * 60 * 60);
        Self { world, settings, own: None, clock, target_fault: None, router_fault: None, budget, is_routed }
    }

    /// A quick and friendly world.
    pub(crate) fn plain() -> Self {
        Self::new(WorldSettings::default())
    }

    /// With a world for each workload.
    pub(crate) fn many(settings: WorldSettings) -> Self {
        Self { own: Some(Mutex::default()), ..Self::new(settings) }
    }

    fn routing(&self, world: &World) -> Arc<dyn TrafficRouter> {
        let router: Arc<dyn TrafficRouter> = world.router();
        self.router_fault.as_ref().map_or(router.clone(), |around| around(router))
    }

    /// The world that this workload lives in.
    fn world(&self, workload: &WorkloadId) -> World {
        let Some(own) = &self.own else { return self.world.clone() };
        let fresh = || World::new(self.settings.clone(), self.clock.clone());
        own.lock().unwrap().entry(workload.clone()).or_insert_with(fresh).clone()
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
        for world in self.own.iter().flat_map(|own| own.lock().unwrap().values().cloned().collect::<Vec<_>>())
        {
            world.behave(id.clone(), behaviour);
        }
        Some(Release { id, artifact: artifact.to_owned(), config: json!(null), secrets: Vec::new() })
    }
}

#[async_trait]
impl TargetRig for FakeRig {
    async fn target(&self, workload: &WorkloadId) -> Arc<dyn Target> {
        let target: Arc<dyn Target> = self.world(workload).target();
        self.target_fault.as_ref().map_or(target.clone(), |around| around(target))
    }

    fn release(&self, id: ReleaseId, kind: ReleaseKind) -> Option<Release> {
        self.release_of(id, kind)
    }

    fn wrong_config(&self, id: ReleaseId) -> Option<(Release, Vec<String>)> {
        let release = self.release_of(id, ReleaseKind::Good)?;
        Some((Release { config: json!("text"), ..release }, vec!["config".to_owned()]))
    }

    async fn reality(&self, workload: &WorkloadId) -> Option<Vec<RealInstance>> {
        let labels = self.world(workload).labels(workload).into_iter();
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

    async fn clean_up(&self, workload: &WorkloadId) {
        if let Some(own) = &self.own {
            own.lock().unwrap().remove(workload);
        }
    }
}

#[async_trait]
impl RouterRig for FakeRig {
    async fn router(&self, _workload: &WorkloadId) -> Arc<dyn TrafficRouter> {
        self.routing(&self.world)
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
        let spec =
            SetSpec { set: set.clone(), replicas: u32::try_from(count).unwrap(), remove_first: Vec::new() };
        target.apply(&context, &PinnedRelease { release, artifact }, &spec).await.unwrap();
        loop {
            let view = target.observe(&context).await.unwrap();
            let seen = view.sets.into_iter().find(|seen| seen.set == *set).unwrap().instances;
            if seen.iter().all(|one| matches!(one.phase, InstancePhase::Running { .. })) {
                return seen
                    .into_iter()
                    .map(|one| Member { instance: one.id, address: one.address })
                    .collect();
            }
            self.clock.sleep(Duration::from_millis(50)).await;
        }
    }
}

#[async_trait]
impl DeploymentRig for FakeRig {
    async fn router(&self, workload: &WorkloadId) -> Option<Arc<dyn TrafficRouter>> {
        self.is_routed.then(|| self.routing(&self.world(workload)))
    }

    async fn check(&self, workload: &WorkloadId) -> Option<Arc<dyn HealthCheck>> {
        Some(self.world(workload).health())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn budget(&self) -> Duration {
        self.budget
    }
}
