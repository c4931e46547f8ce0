//! A pipeline of several stages and two workloads in the fake world, to be crashed in virtual time.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use deployer::{
    engine::{Deployment, DeploymentBuilder},
    error::DeployError,
    event::EventKind,
    model::{
        AttachPoint, DeploymentId, Epoch, InstancePhase, ReleaseId, RolloutSettings, SetId, Timestamp,
        WorkloadId,
    },
    pipeline::Pipeline,
    ports::{CallContext, Clock as _, Journal, Lock, Target, TrafficRouter},
    strategy::{Outcome, Strategy},
};
use deployer_testkit::{
    crash::CrashScene,
    inject::{Harmless, Injector, Wrapped},
    world::{Behaviour, Incident, World, WorldSettings},
};
use tempfile::TempDir;

use crate::{
    disturb::{Interrupting, No, in_short},
    support::{REPLICAS, Stand},
    works::{Did, Works},
};

/// Both workloads, in the order in which they are put live.
const WORKLOADS: [&str; 2] = ["api", "web"];

/// Which way the pipeline goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShopWay {
    /// Everything is good.
    Forward,
    /// Everything is good, and its deployer is told to stop when it first shifts traffic.
    Interrupted,
    /// The last stage fails, when both workloads are live.
    LastFails,
    /// A gate refuses the second workload when it has all the traffic.
    SecondRefused,
    /// No instance of the second workload ever gets ready.
    SecondNeverReady,
}

impl ShopWay {
    pub(crate) const ALL: [Self; 5] =
        [Self::Forward, Self::Interrupted, Self::LastFails, Self::SecondRefused, Self::SecondNeverReady];

    pub(crate) fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::Interrupted)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Interrupted => "interrupted",
            Self::LastFails => "last-fails",
            Self::SecondRefused => "second-refused",
            Self::SecondNeverReady => "second-never-ready",
        }
    }
}

/// What is wrong on purpose, for tests of the matrix itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// The mail is sent again after a crash, whether it was sent or not.
    MailsAgain,
}

/// A shop with v1 live, and its pipeline to v2.
pub(crate) struct Shop {
    stand: Stand,
    directory: TempDir,
    strategies: [Arc<dyn Strategy>; 2],
    way: ShopWay,
    dead_time: Duration,
    flaw: Flaw,
    since: Timestamp,
    was_interrupted: Arc<AtomicBool>,
}

/// How everything is at the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    outcome: String,
    /// Of each workload and set how many instances live, and the weight and members of its share.
    sets: BTreeSet<String>,
    /// Instances that were ever started.
    started: u32,
    did: Did,
}

impl Shop {
    pub(crate) async fn new(
        strategies: &[Arc<dyn Strategy>; 2],
        way: ShopWay,
        dead_time: Duration,
        flaw: Flaw,
    ) -> Self {
        let stand = Stand::empty(WorldSettings::default());
        let directory = tempfile::tempdir().unwrap();
        Works::furnish(directory.path());
        let mut shop = Self {
            since: stand.now(),
            stand,
            directory,
            strategies: strategies.clone(),
            way,
            dead_time,
            flaw,
            was_interrupted: Arc::default(),
        };
        let injector: Arc<dyn Injector> = Arc::new(Harmless);
        let first = shop.pipeline("v1", &injector);
        let first =
            WORKLOADS.into_iter().zip(&shop.strategies).fold(first, |pipeline, (workload, strategy)| {
                pipeline.rollout(workload, shop.rollout(workload, strategy, "v1", &injector))
            });
        first.build().unwrap().run().await.unwrap();
        if way == ShopWay::SecondNeverReady {
            // Both workloads have their releases from one world; the second one gets another release.
            shop.stand.behave("v2-web", Behaviour { never_ready: true, ..Behaviour::default() });
        }
        shop.since = shop.stand.now();
        shop
    }

    fn pipeline(&self, release: &str, injector: &Arc<dyn Injector>) -> deployer::pipeline::PipelineBuilder {
        let journal = Wrapped::<dyn Journal>::new(self.stand.journal.clone(), injector.clone());
        let lock = Wrapped::<dyn Lock>::new(self.stand.lock.clone(), injector.clone());
        Pipeline::builder("shop")
            .id(format!("to-{release}").as_str())
            .journal(Arc::new(journal) as Arc<dyn Journal>)
            .lock(Arc::new(lock) as Arc<dyn Lock>)
            .clock(self.stand.clock.clone())
    }

    fn rollout(
        &self,
        workload: &str,
        strategy: &Arc<dyn Strategy>,
        release: &str,
        injector: &Arc<dyn Injector>,
    ) -> DeploymentBuilder {
        let world = &self.stand.world;
        let target = Wrapped::<dyn Target>::new(world.target(), injector.clone());
        let router = Wrapped::<dyn TrafficRouter>::new(world.router(), injector.clone());
        Deployment::builder(workload)
            .release(World::release(ReleaseId::new(release).unwrap()).release)
            .replicas(REPLICAS)
            .strategy(strategy.clone())
            .target(Arc::new(target) as Arc<dyn Target>)
            .router(Arc::new(router) as Arc<dyn TrafficRouter>)
            .check(world.health())
            .settings(RolloutSettings {
                start_deadline: Duration::from_secs(20),
                ..RolloutSettings::default()
            })
    }

    fn build(&self, injector: &Arc<dyn Injector>) -> Result<Deployment, DeployError> {
        let world = self.stand.world.clone();
        let works = Works::new(injector.clone(), self.directory.path(), move || releases(&world));
        let mut second = self.rollout("web", &self.strategies[1], "v2-web", injector);
        if self.way == ShopWay::SecondRefused {
            second = second.gate(AttachPoint::FullTraffic, "no", Arc::new(No));
        }
        let mail = match self.flaw {
            Flaw::None => works.mail(),
            Flaw::MailsAgain => works.mail_carelessly(),
        };
        self.pipeline("v2", injector)
            .stage(works.backup())
            .stage(works.migrate())
            .rollout("api", self.rollout("api", &self.strategies[0], "v2", injector))
            .stage(mail)
            .rollout("web", second)
            .stage(works.last(self.way == ShopWay::LastFails))
            .build()
    }

    fn winner(&self, workload: &str) -> SetId {
        let name = match (self.way.is_forward(), workload) {
            (false, _) => "v1",
            (true, "web") => "v2-web",
            (true, _) => "v2",
        };
        SetId::new(name).unwrap()
    }

    fn problems_of(&self, name: &str, strategy: &Arc<dyn Strategy>) -> Vec<String> {
        let (world, workload) = (&self.stand.world, WorkloadId::new(name).unwrap());
        let orphans = world.orphans(&workload, &[self.winner(name)]);
        let mut problems: Vec<String> =
            orphans.iter().map(|orphan| format!("orphan of {name}: {orphan:?}")).collect();
        if world.available(&workload) != REPLICAS {
            problems.push(format!("{} of {name} are available", world.available(&workload)));
        }
        let budget = strategy.budget(REPLICAS, &WorldSettings::default().target);
        let found = world.extremes(&workload, self.since);
        if found.min_available < budget.min_available || found.max_total > budget.max_total {
            problems.push(format!("capacity of {name} was {found:?}, promised was {budget:?}"));
        }
        problems
    }

    async fn sets_of(&self, workload: &str) -> Vec<String> {
        let context = CallContext {
            workload: WorkloadId::new(workload).unwrap(),
            deployment: DeploymentId::new("look").unwrap(),
            epoch: Epoch(0),
            deadline: Duration::from_secs(10),
        };
        let view = self.stand.world.target().observe(&context).await.unwrap();
        let living =
            |phase: &InstancePhase| matches!(phase, InstancePhase::Starting | InstancePhase::Running { .. });
        let sets = view.sets.iter().map(|set| {
            let count = set.instances.iter().filter(|instance| living(&instance.phase)).count();
            format!("{workload} {}: {count} live", set.set)
        });
        let split = self.stand.world.router().current(&context).await.unwrap().split;
        let shares = split.shares().iter().map(|share| {
            format!("{workload} {}: weight {}, {} members", share.set, share.weight, share.members.len())
        });
        sets.chain(shares).collect()
    }
}

/// Which releases of each workload have instances.
fn releases(world: &World) -> String {
    let of = |name: &str| {
        let labels = world.labels(&WorkloadId::new(name).unwrap());
        let sets: BTreeSet<String> = labels.into_iter().map(|label| label.set.to_string()).collect();
        format!("{name} {}", sets.into_iter().collect::<Vec<_>>().join("+"))
    };
    WORKLOADS.map(of).join(" ")
}

#[async_trait]
impl CrashScene for Shop {
    type End = End;

    fn deployment(&self, injector: Arc<dyn Injector>) -> Result<Deployment, DeployError> {
        if self.way != ShopWay::Interrupted {
            return self.build(&injector);
        }
        let interrupting = Arc::new(Interrupting::new(injector, self.was_interrupted.clone()));
        let injector: Arc<dyn Injector> = interrupting.clone();
        let deployment = self.build(&injector)?;
        interrupting.tells(deployment.control());
        Ok(deployment)
    }

    fn journal(&self) -> Arc<dyn Journal> {
        self.stand.journal.clone()
    }

    fn workload(&self) -> WorkloadId {
        WorkloadId::new("web").unwrap()
    }

    async fn between(&self) {
        self.stand.clock.sleep(self.dead_time).await;
    }

    async fn end(&self, outcome: &Outcome) -> End {
        let mut sets = BTreeSet::new();
        for workload in WORKLOADS {
            sets.extend(self.sets_of(workload).await);
        }
        let (outcome, started) = (in_short(outcome), self.stand.world.started());
        End { outcome, sets, started, did: Did::read(self.directory.path()) }
    }

    async fn problems(&self) -> Vec<String> {
        let caused = self.stand.world.incidents().into_iter().filter(Incident::is_caused);
        let mut problems: Vec<String> = caused.map(|incident| format!("incident: {incident}")).collect();
        for (workload, strategy) in WORKLOADS.into_iter().zip(&self.strategies) {
            problems.extend(self.problems_of(workload, strategy));
        }
        problems.extend(Did::read(self.directory.path()).problems(self.way.is_forward()));
        let newest = DeploymentId::new("to-v2").unwrap();
        // All workloads have the journal.
        for workload in WORKLOADS {
            let list = self.stand.journal.list(&WorkloadId::new(workload).unwrap()).await.unwrap();
            if list.last() != Some(&newest) {
                problems.push(format!("the newest journal of {workload} is {:?}", list.last()));
            }
        }
        let events = self.stand.journal.load(&newest).await.unwrap();
        problems.extend(undone_twice(&events));
        problems
    }
}

/// What no journal of a pipeline may tell: that a stage was undone twice, or succeeded twice.
fn undone_twice(events: &[deployer::event::Event]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let told = events.iter().filter_map(|event| {
        let what = match event.kind {
            EventKind::StageSucceeded { .. } => "succeeded",
            EventKind::UndoFinished => "was undone",
            _ => return None,
        };
        Some(format!("stage {} {what} twice", event.path.last()?))
    });
    told.filter(|text| !seen.insert(text.clone())).collect()
}
