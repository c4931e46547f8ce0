//! The world as a test holds it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{
        DeploymentId, Epoch, Instance, InstanceId, Member, PinnedRelease, Place, Release, ReleaseId, SetId,
        Share, Split, Timestamp, WorkloadId,
    },
    ports::{CallContext, Changes, Clock, Result},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Behaviour, Call, CallKind, CallOutcome, Extremes, FakeHealth, FakeMetrics, FakeRouter, FakeTarget, Fault,
    FaultRates, Incident, PlannedFault, Population, WorldSettings, instance::FakeInstance, state::State,
    target,
};

/// A world in memory, shared by its clones, its ports and the test. Queries tell the truth, without faults, calls or
/// fences.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use deployer_core::{model::{Release, ReleaseId, WorkloadId}, ports::Target};
/// use deployer_testkit::{TestClock, world::{World, WorldSettings}};
///
/// let world = World::new(WorldSettings::default(), Arc::new(TestClock::new()));
/// let web = WorkloadId::new("web").unwrap();
/// let v1 = World::release(ReleaseId::new("v1").unwrap());
/// world.put(&web, &v1, 3);
/// assert_eq!((world.available(&web), world.total(&web)), (3, 3));
/// assert!(world.target().capabilities().pins_victims);
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct World {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) clock: Arc<dyn Clock>,
    changed: Arc<Changed>,
}

/// How often somebody changed something, and who waits for that. Not a `watch`: that wakes in an order of its own, and
/// a seed has to happen in one order.
#[derive(Debug, Default)]
struct Changed {
    count: AtomicU64,
    wake: Notify,
}

/// The labels of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Which instance.
    pub instance: InstanceId,
    /// Of which set.
    pub set: SetId,
    /// Which deployment made it.
    pub deployment: DeploymentId,
    /// With which right to write.
    pub epoch: Epoch,
}

/// Something of a workload that nobody intends to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// A set that is remembered.
    pub set: SetId,
    /// Its instances, those that ended included.
    pub instances: Vec<InstanceId>,
}

impl World {
    /// An empty world. For virtual time give it a [`TestClock`](crate::TestClock) in a runtime with paused time.
    pub fn new(settings: WorldSettings, clock: Arc<dyn Clock>) -> Self {
        let state = State::new(settings, clock.now());
        Self { state: Arc::new(Mutex::new(state)), clock, changed: Arc::default() }
    }

    /// Its target.
    pub fn target(&self) -> Arc<FakeTarget> {
        Arc::new(FakeTarget::new(self.clone()))
    }

    /// Its router.
    pub fn router(&self) -> Arc<FakeRouter> {
        Arc::new(FakeRouter::new(self.clone()))
    }

    /// Its probe.
    pub fn health(&self) -> Arc<FakeHealth> {
        Arc::new(FakeHealth::new(self.clone()))
    }

    /// Its metrics.
    pub fn metrics(&self) -> Arc<FakeMetrics> {
        Arc::new(FakeMetrics::new(self.clone()))
    }

    /// A plain release of this name with the artifact that this world resolves it to.
    pub fn release(id: ReleaseId) -> PinnedRelease {
        let artifact = format!("image:{id}");
        let release = Release { id, artifact, config: serde_json::Value::Null, secrets: Vec::new() };
        PinnedRelease { artifact: target::resolve(&release), release }
    }

    /// How instances of a release behave that are started from now on.
    pub fn behave(&self, release: ReleaseId, behaviour: Behaviour) {
        self.change(|state| state.behaviours.insert(release, behaviour));
    }

    /// Instances that are there already, ready, and the only ones that get traffic.
    pub fn put(&self, workload: &WorkloadId, release: &PinnedRelease, replicas: u32) -> Vec<Instance> {
        self.change(|state| {
            let set = SetId::from(&release.release.id);
            let instances = target::put(state, workload, &set, release, replicas);
            let members = instances
                .iter()
                .map(|one| Member { instance: one.id.clone(), address: one.address })
                .collect();
            let shares = vec![Share { set, weight: 100, members }];
            let now = state.now;
            state
                .traffic
                .entry(workload.clone())
                .or_default()
                .accept(&Split::Serve { shares, routes: Vec::new() }, now);
            state.follow(workload);
            instances
        })
    }

    /// Makes a set forget which release it runs, as one that was not made by us: it can be adopted.
    pub fn forget_release(&self, workload: &WorkloadId, set: &SetId) {
        self.change(|state| {
            if let Some(set) = state.sets.get_mut(&(workload.clone(), set.clone())) {
                set.release = None;
            }
        });
    }

    /// A place can no longer be reached. What runs there runs on.
    pub fn partition(&self, place: &Place, why: impl Into<String>) {
        self.change(|state| {
            state.unknown_places.insert(place.clone(), why.into());
            let now = state.now;
            state.hidden_since.entry(place.clone()).or_insert(now);
        });
    }

    /// A place can be reached again.
    pub fn heal(&self, place: &Place) {
        self.change(|state| {
            state.unknown_places.remove(place);
            state.reappear(place);
        });
    }

    /// Everything at a place ends.
    pub fn lose(&self, place: &Place) {
        self.end_where("the host was lost", |one| one.place == *place);
    }

    /// An instance ends by itself.
    pub fn kill(&self, instance: &InstanceId) {
        self.end_where("killed (signal 9)", |one| one.id == *instance);
    }

    /// Plans a fault. It happens once.
    pub fn plan(&self, kind: CallKind, number: u64, fault: Fault) {
        self.change(|state| state.faults.planned.push(PlannedFault { kind, number, fault }));
    }

    /// Makes faults happen by chance, from the seed.
    pub fn set_fault_rates(&self, rates: FaultRates) {
        self.change(|state| state.faults.rates = rates);
    }

    /// Planned faults whose call has not come: a test that relies on them shows nothing.
    pub fn unfired(&self) -> Vec<PlannedFault> {
        self.query(|state| state.faults.planned.clone())
    }

    /// A newer owner stamps its epoch on everything, as a take-over does.
    pub fn stamp(&self, workload: &WorkloadId, epoch: Epoch) {
        self.change(|state| {
            let State { target_epochs, router_epochs, .. } = state;
            for seen in [target_epochs, router_epochs] {
                let newest = seen.entry(workload.clone()).or_default();
                *newest = epoch.max(*newest);
            }
        });
    }

    /// All calls, in the order in which they began.
    pub fn calls(&self) -> Vec<Call> {
        self.query(|state| state.calls.clone())
    }

    /// Goes through all calls, in the order in which they began.
    pub(crate) fn each_call(&self, tell: impl FnMut(&Call)) {
        self.query(|state| state.calls.iter().for_each(tell));
    }

    /// What happened that must not.
    pub fn incidents(&self) -> Vec<Incident> {
        self.query(|state| state.incidents.clone())
    }

    /// Instances that work and, where traffic is routed, get requests from the data plane.
    pub fn available(&self, workload: &WorkloadId) -> u32 {
        self.query(|state| state.population(workload).available)
    }

    /// Instances that exist: starting, running or stopping.
    pub fn total(&self, workload: &WorkloadId) -> u32 {
        self.query(|state| state.population(workload).total)
    }

    /// Instances that were ever started, of all workloads.
    pub fn started(&self) -> u32 {
        self.query(|state| u32::from(state.started))
    }

    /// Existing instances that the data plane sends requests to.
    pub fn in_rotation(&self, workload: &WorkloadId) -> Vec<InstanceId> {
        self.query(|state| {
            let instances = state.sets_of(workload).flat_map(|(_, set)| &set.instances);
            instances.filter(|one| one.exists() && one.routed).map(|one| one.id.clone()).collect()
        })
    }

    /// Every set other than the intended ones, with all that is left of it.
    pub fn orphans(&self, workload: &WorkloadId, intended: &[SetId]) -> Vec<Orphan> {
        self.query(|state| {
            let others = state.sets_of(workload).filter(|(set, _)| !intended.contains(set));
            let ids = |set: &super::state::FakeSet| set.instances.iter().map(|one| one.id.clone()).collect();
            others.map(|(id, set)| Orphan { set: id.clone(), instances: ids(set) }).collect()
        })
    }

    /// Who made what.
    pub fn labels(&self, workload: &WorkloadId) -> Vec<Labels> {
        self.query(|state| {
            let all = state
                .sets_of(workload)
                .flat_map(|(set, value)| value.instances.iter().map(move |one| (set, one)));
            all.map(|(set, one)| Labels {
                instance: one.id.clone(),
                set: set.clone(),
                deployment: one.deployment.clone(),
                epoch: one.epoch,
            })
            .collect()
        })
    }

    /// Every population that was in force, oldest first.
    pub fn history(&self, workload: &WorkloadId) -> Vec<Population> {
        self.query(|state| {
            state.histories.get(workload).map(|history| history.all().to_vec()).unwrap_or_default()
        })
    }

    /// Extremes of the population from `since` on.
    pub fn extremes(&self, workload: &WorkloadId, since: Timestamp) -> Extremes {
        self.query(|state| state.histories.get(workload).cloned().unwrap_or_default().extremes(since))
    }

    /// When something happens next that nobody has to ask for.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.query(|state| state.due)
    }

    fn end_where(&self, reason: &str, applies: impl Fn(&FakeInstance) -> bool) {
        self.change(|state| {
            let all =
                state.sets.iter().flat_map(|(key, set)| set.instances.iter().map(move |one| (key, one)));
            let ending: Vec<_> = all
                .filter(|(_, one)| one.exists() && applies(one))
                .map(|(key, one)| (key.clone(), one.id.clone()))
                .collect();
            for (key, id) in ending {
                state.die(&key, &id, reason.to_owned());
            }
        });
    }

    pub(super) fn query<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        let mut state = self.state.lock();
        state.advance(self.clock.now());
        look(&state)
    }

    pub(super) fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        state.advance(self.clock.now());
        let result = act(&mut state);
        state.admit();
        state.record();
        drop(state);
        self.changed.count.fetch_add(1, Ordering::Relaxed);
        self.changed.wake.notify_waiters();
        result
    }

    /// One call to a port, with its latency and its fault. The effect comes halfway, so that a dropped call may or may
    /// not have happened.
    pub(super) async fn call<T>(
        &self,
        kind: CallKind,
        context: &CallContext,
        what: String,
        act: impl FnOnce(&mut State) -> Result<T> + Send,
    ) -> Result<T> {
        let (call, fault, before, after) = {
            let mut state = self.state.lock();
            state.advance(self.clock.now());
            let (call, fault) = state.begin(kind, context, what);
            let (before, after) = state.latency(kind, call);
            (call, fault, before, after)
        };
        self.pass(before).await;
        if let Some(fault) = fault.filter(|fault| !fault.is_done()) {
            let Fault::Fail(error) = fault else { return std::future::pending().await };
            let what = self.state.lock().end(call, CallOutcome::Failed { error, done: false });
            return Err(BackendError::new(error, what, "planned fault, nothing was done"));
        }
        let result = if kind.writes() {
            self.change(|state| state.noting_effect(kind, context, act))
        } else {
            self.observe(act)
        };
        self.state.lock().note(call, CallOutcome::Unfinished { done: result.is_ok() });
        self.pass(after).await;
        let done = result.is_ok();
        match (fault, &result) {
            (Some(Fault::DoAndHang), _) => return std::future::pending().await,
            (Some(_), _) => {
                let error = ErrorKind::TimedOut;
                let what = self.state.lock().end(call, CallOutcome::Failed { error, done });
                return Err(BackendError::new(error, what, "planned fault, the answer was lost"));
            }
            (None, Ok(_)) => self.state.lock().note(call, CallOutcome::Answered),
            (None, Err(error)) => {
                self.state.lock().note(call, CallOutcome::Failed { error: error.kind, done: false });
            }
        }
        result
    }

    /// Hints: after each change that somebody makes, and whenever time changes something.
    pub(super) fn hints(&self) -> Changes {
        let seen = self.changed.count.load(Ordering::Relaxed);
        Box::pin(futures::stream::unfold((self.clone(), seen), |(world, seen)| async move {
            world.changed_since(seen).await;
            let seen = world.changed.count.load(Ordering::Relaxed);
            Some(((), (world, seen)))
        }))
    }

    /// Waits until somebody changed something, or time did.
    async fn changed_since(&self, seen: u64) {
        let changed = self.changed.wake.notified();
        if self.changed.count.load(Ordering::Relaxed) != seen {
            return;
        }
        let due = self.next_change().map(|due| due.since(self.clock.now()));
        tokio::select! {
            biased;
            () = changed => {}
            () = self.clock.sleep(due.unwrap_or_default()), if due.is_some() => {}
        }
    }

    fn observe<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        state.advance(self.clock.now());
        look(&mut state)
    }

    async fn pass(&self, duration: Duration) {
        if !duration.is_zero() {
            self.clock.sleep(duration).await;
        }
    }
}
