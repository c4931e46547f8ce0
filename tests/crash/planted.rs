//! Bugs on purpose, each of which some crash brings to light: without them nobody knows that the matrix can fail.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use deployer::{
    event::{Event, EventKind},
    model::{
        Artifact, DeploymentId, Epoch, Evidence, InFlight, InstanceId, Member, PinnedRelease, Release,
        RouterCapabilities, SetId, SetSpec, Split, TargetCapabilities, TrafficView, WorkloadId, WorkloadView,
    },
    ports::{CallContext, Changes, Journal, JournalError, Result, Target, TrafficRouter},
    strategy::Strategy,
};
use deployer_testkit::{
    cases::say,
    crash::{CrashPoint, CrashScene, Explorer},
};
use parking_lot::Mutex;

use crate::{
    fake::{Fake, Ports, Way},
    shop::{Flaw, Shop, ShopWay},
    support::{blue_green, rolling},
};

/// Records that the bad journal keeps to itself.
const UNWRITTEN: usize = 8;

/// The first crash that shows the bug.
fn caught(strategy: &Arc<dyn Strategy>, way: &Way, plant: impl Fn() -> Arc<dyn Ports>) -> String {
    first_problem(async || Fake::with(strategy, way, Duration::ZERO, plant()).await, |_| true)
}

/// The same at points that are looked at.
fn first_problem<S: CrashScene>(make: impl AsyncFn() -> S, looks: impl Fn(&CrashPoint) -> bool) -> String {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let explorer = Explorer::new(make, Duration::from_secs(24 * 60 * 60)).await;
        let Ok(explorer) = explorer else { panic!("without a crash nobody notices") };
        for point in explorer.points().iter().filter(|point| looks(point)) {
            let run = explorer.run(std::slice::from_ref(point)).await;
            if !run.problems.is_empty() {
                say(&format!("    {run}"));
                return run.problems.join("\n");
            }
        }
        panic!("no crash brought it to light");
    })
}

pub(crate) fn a_journal_that_says_durable_too_early_is_caught() {
    let strategy: Arc<dyn Strategy> = Arc::new(blue_green());
    let found = caught(&strategy, &Way::Refused, || Arc::new(BadJournal::default()));
    assert!(found.contains("started: "), "{found}");
}

pub(crate) fn a_target_that_starts_anew_is_caught() {
    let strategy: Arc<dyn Strategy> = Arc::new(rolling(1, 0));
    let found = caught(&strategy, &Way::Forward, || Arc::new(BadTarget::new(Bad::StartsAnew)));
    assert!(found.contains("capacity was") || found.contains("started: "), "{found}");
}

pub(crate) fn a_target_that_forgets_what_it_started_is_caught() {
    let strategy: Arc<dyn Strategy> = Arc::new(blue_green());
    let found = caught(&strategy, &Way::Refused, || Arc::new(BadTarget::new(Bad::Forgets)));
    // What it does not see it starts once more.
    assert!(found.contains("started: "), "{found}");
}

pub(crate) fn a_router_that_loses_its_split_with_its_client_is_caught() {
    let strategy: Arc<dyn Strategy> = Arc::new(rolling(1, 0));
    let found = caught(&strategy, &Way::Forward, || Arc::new(BadRouter::default()));
    assert!(found.contains("EmptyRotation"), "{found}");
}

pub(crate) fn a_stage_that_is_done_twice_after_a_crash_is_caught() {
    let strategies: [Arc<dyn Strategy>; 2] = [Arc::new(rolling(1, 0)), Arc::new(blue_green())];
    let make = async || Shop::new(&strategies, ShopWay::LastFails, Duration::ZERO, Flaw::MailsAgain).await;
    let found = first_problem(make, |point| point.kind == "stage");
    assert!(found.contains("2 mails were sent"), "{found}");
}

/// Answers before it writes.
#[derive(Debug, Default)]
struct BadJournal(Arc<Mutex<Vec<Event>>>);

#[derive(Debug)]
struct Lazy {
    real: Arc<dyn Journal>,
    unwritten: Arc<Mutex<Vec<Event>>>,
}

impl Ports for BadJournal {
    fn journal(&self, real: Arc<dyn Journal>) -> Arc<dyn Journal> {
        Arc::new(Lazy { real, unwritten: self.0.clone() })
    }

    fn crashed(&self) {
        self.0.lock().clear();
    }
}

#[async_trait]
impl Journal for Lazy {
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> std::result::Result<(), JournalError> {
        self.real.create(workloads, first).await
    }

    async fn append(&self, event: &Event) -> std::result::Result<(), JournalError> {
        let is_last = matches!(event.kind, EventKind::DeploymentFinished { .. });
        let due = {
            let mut unwritten = self.unwritten.lock();
            unwritten.push(event.clone());
            let keep = if is_last { 0 } else { UNWRITTEN };
            let count = unwritten.len().saturating_sub(keep);
            unwritten.drain(..count).collect::<Vec<_>>()
        };
        for event in &due {
            self.real.append(event).await?;
        }
        Ok(())
    }

    async fn load(&self, deployment: &DeploymentId) -> std::result::Result<Vec<Event>, JournalError> {
        self.real.load(deployment).await
    }

    async fn list(&self, workload: &WorkloadId) -> std::result::Result<Vec<DeploymentId>, JournalError> {
        self.real.list(workload).await
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> std::result::Result<Epoch, JournalError> {
        self.real.last_epoch(workload).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bad {
    /// After a crash it takes a level for a number of instances to be started.
    StartsAnew,
    /// After a crash it does not know what it started for the dead deployer.
    Forgets,
}

/// A target that keeps in memory what belongs to the platform.
#[derive(Debug)]
struct BadTarget {
    bad: Bad,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    made: BTreeSet<SetId>,
    lost: BTreeSet<SetId>,
}

#[derive(Debug)]
struct Forgetful {
    real: Arc<dyn Target>,
    bad: Bad,
    memory: Arc<Mutex<Memory>>,
}

impl BadTarget {
    fn new(bad: Bad) -> Self {
        Self { bad, memory: Arc::default() }
    }
}

impl Ports for BadTarget {
    fn target(&self, real: Arc<dyn Target>) -> Arc<dyn Target> {
        Arc::new(Forgetful { real, bad: self.bad, memory: self.memory.clone() })
    }

    fn crashed(&self) {
        let mut memory = self.memory.lock();
        let made = std::mem::take(&mut memory.made);
        memory.lost.extend(made);
    }
}

#[async_trait]
impl Target for Forgetful {
    fn name(&self) -> &str {
        self.real.name()
    }

    fn capabilities(&self) -> TargetCapabilities {
        self.real.capabilities()
    }

    async fn observe(&self, context: &CallContext) -> Result<WorkloadView> {
        let mut view = self.real.observe(context).await?;
        if self.bad == Bad::Forgets {
            let memory = self.memory.lock();
            view.sets.retain(|set| !memory.lost.contains(&set.set));
        }
        Ok(view)
    }

    async fn prepare(&self, context: &CallContext, release: &Release) -> Result<Artifact> {
        self.real.prepare(context, release).await
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        let mut spec = spec.clone();
        let is_lost = {
            let mut memory = self.memory.lock();
            memory.made.insert(spec.set.clone());
            memory.lost.remove(&spec.set)
        };
        if is_lost && self.bad == Bad::StartsAnew {
            let view = self.real.observe(context).await?;
            let there = view.sets.iter().find(|set| set.set == spec.set);
            spec.replicas += there.map_or(0, |set| u32::try_from(set.instances.len()).unwrap());
        }
        self.real.apply(context, release, &spec).await
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        self.real.remove(context, set).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.real.watch(context).await
    }

    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        self.real.evidence(context, instance).await
    }
}

/// A router whose data plane follows it only as long as its client lives.
#[derive(Debug, Default)]
struct BadRouter(Arc<AtomicBool>);

#[derive(Debug)]
struct Bound {
    real: Arc<dyn TrafficRouter>,
    is_lost: Arc<AtomicBool>,
}

impl Ports for BadRouter {
    fn router(&self, real: Arc<dyn TrafficRouter>) -> Arc<dyn TrafficRouter> {
        Arc::new(Bound { real, is_lost: self.0.clone() })
    }

    fn crashed(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl TrafficRouter for Bound {
    fn name(&self) -> &str {
        self.real.name()
    }

    fn capabilities(&self) -> RouterCapabilities {
        self.real.capabilities()
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        self.real.apply(context, split).await
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        if self.is_lost.swap(false, Ordering::Relaxed) {
            self.real.apply(context, &Split::EMPTY).await?;
        }
        self.real.current(context).await
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        self.real.in_flight(context, members).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.real.watch(context).await
    }
}
