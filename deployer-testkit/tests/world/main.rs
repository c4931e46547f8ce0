//! The fake world keeps the contracts of the ports, has its faults where they were planned, and its oracles see what
//! happened.
#![expect(clippy::unwrap_used, reason = "a test may end so")]

mod faults;
mod target;
mod traffic;

use std::{sync::Arc, time::Duration};

use deployer_core::{
    error::ErrorKind,
    model::{
        DeploymentId, Epoch, Instance, InstanceId, InstancePhase, Member, PinnedRelease, ReleaseId, SetId,
        SetSpec, Share, Split, WorkloadId,
    },
    ports::{CallContext, Clock, Target, TrafficRouter},
};
use deployer_testkit::{
    TestClock,
    world::{Incident, IncidentKind, World, WorldSettings},
};

struct Fixture {
    world: World,
    clock: Arc<TestClock>,
    target: Arc<dyn Target>,
    router: Arc<dyn TrafficRouter>,
    web: WorkloadId,
    context: CallContext,
}

impl Fixture {
    fn new(settings: WorldSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        let world = World::new(settings, Arc::clone(&clock) as Arc<dyn Clock>);
        let web = WorkloadId::new("web").unwrap();
        let context = CallContext {
            workload: web.clone(),
            deployment: DeploymentId::new("d1").unwrap(),
            epoch: Epoch(5),
            deadline: Duration::from_secs(10),
        };
        let (target, router) = (world.target(), world.router());
        Self { world, clock, target, router, web, context }
    }

    fn with_epoch(&self, epoch: u64) -> CallContext {
        CallContext { epoch: Epoch(epoch), ..self.context.clone() }
    }

    async fn size(&self, release: &PinnedRelease, replicas: u32, first: &[&InstanceId]) -> Option<ErrorKind> {
        let remove_first = first.iter().map(|id| (*id).clone()).collect();
        let spec = SetSpec { set: SetId::from(&release.release.id), replicas, remove_first };
        self.target.apply(&self.context, release, &spec).await.err().map(|error| error.kind)
    }

    async fn instances(&self, set: &str) -> Vec<Instance> {
        let view = self.target.observe(&self.context).await.unwrap();
        view.sets
            .into_iter()
            .find(|seen| seen.set.as_str() == set)
            .map(|seen| seen.instances)
            .unwrap_or_default()
    }

    async fn ids(&self, set: &str) -> Vec<InstanceId> {
        self.instances(set).await.into_iter().map(|instance| instance.id).collect()
    }

    async fn pass(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    async fn send_to(&self, shares: &[(&str, u32, &[Instance])]) {
        self.router.apply(&self.context, &split(shares)).await.unwrap();
    }

    fn caused(&self) -> Vec<IncidentKind> {
        self.world.incidents().into_iter().filter(Incident::is_caused).map(|one| one.kind).collect()
    }
}

fn release(name: &str) -> PinnedRelease {
    World::release(ReleaseId::new(name).unwrap())
}

fn set(name: &str) -> SetId {
    SetId::new(name).unwrap()
}

fn split(shares: &[(&str, u32, &[Instance])]) -> Split {
    let members = |instances: &[Instance]| {
        instances.iter().map(|one| Member { instance: one.id.clone(), address: one.address }).collect()
    };
    let shares = shares.iter().map(|(name, weight, instances)| Share {
        set: set(name),
        weight: *weight,
        members: members(instances),
    });
    Split::Serve { shares: shares.collect(), routes: Vec::new() }
}

fn is_stopping(instance: &Instance) -> bool {
    matches!(instance.phase, InstancePhase::Stopping { .. })
}
