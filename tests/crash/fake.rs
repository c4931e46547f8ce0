//! Deployments in the fake world, to be crashed in virtual time.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use deployer::{
    engine::Deployment,
    error::DeployError,
    event::EventKind,
    model::{
        AttachPoint, DeploymentId, Epoch, InstancePhase, RolloutSettings, SetId, Split, Timestamp, WorkloadId,
    },
    ports::{CallContext, Clock as _, HealthCheck, Journal, Lock, Target, TrafficRouter},
    strategy::{Outcome, Strategy},
};
use deployer_testkit::{
    crash::{CrashAt, CrashPoint, CrashScene},
    inject::{Injector, Wrapped},
    world::{Behaviour, Incident, WorldSettings},
};

use crate::{
    disturb::{Interrupting, No, in_short},
    support::{REPLICAS, Stand, rolling},
};

/// Which way a deployment goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// The release is good.
    Forward,
    /// The release is good, and its deployer is told to stop in the middle.
    Interrupted,
    /// No instance of it ever gets ready.
    NeverReady,
    /// A gate refuses it when it has all the traffic.
    Refused,
    /// An older deployment was crashed here.
    Superseding(CrashPoint),
}

/// Wraps ports of a world; tests plant their bugs here.
pub(crate) trait Ports: Send + Sync {
    fn target(&self, real: Arc<dyn Target>) -> Arc<dyn Target> {
        real
    }
    fn router(&self, real: Arc<dyn TrafficRouter>) -> Arc<dyn TrafficRouter> {
        real
    }
    fn journal(&self, real: Arc<dyn Journal>) -> Arc<dyn Journal> {
        real
    }
    /// Whoever deploys is dead, and all that it only held in memory is lost.
    fn crashed(&self) {}
}

/// Nothing is wrong with them.
#[derive(Debug)]
pub(crate) struct Sound;

impl Ports for Sound {}

/// A deployment in a fake world.
pub(crate) struct Fake {
    stand: Stand,
    strategy: Arc<dyn Strategy>,
    way: Way,
    dead_time: Duration,
    ports: Arc<dyn Ports>,
    since: Timestamp,
    was_interrupted: Arc<AtomicBool>,
}

/// How the world is at the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    outcome: String,
    /// Instances of each set.
    sets: BTreeMap<String, usize>,
    /// Weight and members of each set.
    split: BTreeMap<String, (u32, usize)>,
    /// Instances that were ever started.
    started: u32,
}

impl Fake {
    pub(crate) async fn new(strategy: &Arc<dyn Strategy>, way: &Way, dead_time: Duration) -> Self {
        Self::with(strategy, way, dead_time, Arc::new(Sound)).await
    }

    pub(crate) async fn with(
        strategy: &Arc<dyn Strategy>,
        way: &Way,
        dead_time: Duration,
        ports: Arc<dyn Ports>,
    ) -> Self {
        let stand = Stand::serving().await;
        if *way == Way::NeverReady {
            stand.behave("v2", Behaviour { never_ready: true, ..Behaviour::default() });
        }
        let fake = Self {
            since: stand.now(),
            stand,
            strategy: strategy.clone(),
            way: way.clone(),
            dead_time,
            ports,
            was_interrupted: Arc::default(),
        };
        if let Way::Superseding(point) = way {
            let at = Arc::new(CrashAt::new(point.clone()));
            let older = fake.build("v2", at.clone()).unwrap();
            assert!(at.crashed(Box::pin(older.run())).await.is_none(), "the older one came to its end");
        }
        fake
    }

    fn release(&self) -> &'static str {
        if matches!(self.way, Way::Superseding(_)) { "v3" } else { "v2" }
    }

    /// The set that is to be left.
    fn winner(&self) -> SetId {
        let name = match self.way {
            Way::Forward | Way::Interrupted | Way::Superseding(_) => self.release(),
            Way::NeverReady | Way::Refused => "v1",
        };
        SetId::new(name).unwrap()
    }

    fn build(&self, release: &str, injector: Arc<dyn Injector>) -> Result<Deployment, DeployError> {
        let world = &self.stand.world;
        let target = Wrapped::<dyn Target>::new(self.ports.target(world.target()), injector.clone());
        let router = Wrapped::<dyn TrafficRouter>::new(self.ports.router(world.router()), injector.clone());
        let journal =
            Wrapped::<dyn Journal>::new(self.ports.journal(self.stand.journal.clone()), injector.clone());
        let lock = Wrapped::<dyn Lock>::new(self.stand.lock.clone(), injector);
        let builder = self
            .stand
            .deployment(release, rolling(1, 0))
            .id(format!("to-{release}").as_str())
            .strategy(self.strategy.clone())
            .settings(RolloutSettings {
                start_deadline: Duration::from_secs(20),
                ..RolloutSettings::default()
            })
            .target(Arc::new(target) as Arc<dyn Target>)
            .router(Arc::new(router) as Arc<dyn TrafficRouter>)
            .check(world.health() as Arc<dyn HealthCheck>)
            .journal(Arc::new(journal) as Arc<dyn Journal>)
            .lock(Arc::new(lock) as Arc<dyn Lock>);
        if self.way == Way::Refused {
            return builder.gate(AttachPoint::FullTraffic, "no", Arc::new(No)).build();
        }
        builder.build()
    }

    fn context(&self) -> CallContext {
        CallContext {
            workload: self.stand.workload.clone(),
            deployment: DeploymentId::new("look").unwrap(),
            epoch: Epoch(0),
            deadline: Duration::from_secs(10),
        }
    }

    /// Capacity as the strategy promised it. A way that begins in the middle of another has more sets to begin with.
    fn capacity_problems(&self) -> Vec<String> {
        if matches!(self.way, Way::Superseding(_)) {
            return Vec::new();
        }
        let budget = self.strategy.budget(REPLICAS, &WorldSettings::default().target);
        let found = self.stand.world.extremes(&self.stand.workload, self.since);
        let holds = found.min_available >= budget.min_available && found.max_total <= budget.max_total;
        if holds { Vec::new() } else { vec![format!("capacity was {found:?}, promised was {budget:?}")] }
    }
}

#[async_trait]
impl CrashScene for Fake {
    type End = End;

    fn deployment(&self, injector: Arc<dyn Injector>) -> Result<Deployment, DeployError> {
        if self.way != Way::Interrupted {
            return self.build(self.release(), injector);
        }
        let interrupting = Arc::new(Interrupting::new(injector, self.was_interrupted.clone()));
        let deployment = self.build(self.release(), interrupting.clone())?;
        interrupting.tells(deployment.control());
        Ok(deployment)
    }

    fn journal(&self) -> Arc<dyn Journal> {
        self.stand.journal.clone()
    }

    fn workload(&self) -> WorkloadId {
        self.stand.workload.clone()
    }

    async fn between(&self) {
        self.ports.crashed();
        self.stand.clock.sleep(self.dead_time).await;
    }

    async fn end(&self, outcome: &Outcome) -> End {
        let context = self.context();
        let view = self.stand.world.target().observe(&context).await.unwrap();
        let living =
            |phase: &InstancePhase| matches!(phase, InstancePhase::Starting | InstancePhase::Running { .. });
        let sets = view.sets.iter().map(|set| {
            let count = set.instances.iter().filter(|instance| living(&instance.phase)).count();
            (set.set.to_string(), count)
        });
        let split: Split = self.stand.world.router().current(&context).await.unwrap().split;
        let shares = split.shares().iter();
        End {
            outcome: in_short(outcome),
            sets: sets.collect(),
            split: shares.map(|share| (share.set.to_string(), (share.weight, share.members.len()))).collect(),
            started: self.stand.world.started(),
        }
    }

    async fn problems(&self) -> Vec<String> {
        let world = &self.stand.world;
        let orphans = world.orphans(&self.stand.workload, &[self.winner()]);
        let caused = world.incidents().into_iter().filter(Incident::is_caused);
        let mut problems: Vec<String> = caused.map(|incident| format!("incident: {incident}")).collect();
        problems.extend(orphans.iter().map(|orphan| format!("orphan: {orphan:?}")));
        problems.extend(self.capacity_problems());
        if world.available(&self.stand.workload) != REPLICAS {
            problems.push(format!("{} are available", world.available(&self.stand.workload)));
        }
        for deployment in self.stand.journal.list(&self.stand.workload).await.unwrap() {
            let events = self.stand.journal.load(&deployment).await.unwrap();
            let has_ended =
                events.last().is_some_and(|event| matches!(event.kind, EventKind::DeploymentFinished { .. }));
            if !has_ended {
                problems.push(format!("the journal of {deployment} has no end"));
            }
        }
        problems
    }
}
