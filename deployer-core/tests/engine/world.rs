//! A little world in memory: instances that take their time, a router that proves, and crashes at any point.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    event::Event,
    journal::MemoryJournal,
    model::*,
    ports::*,
    strategy::Probe,
};
use futures::StreamExt as _;
use tokio::{sync::Notify, time::Instant};

/// Virtual time: that of tokio's paused clock.
#[derive(Debug, Clone)]
pub(crate) struct VirtualClock(Instant);

impl VirtualClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_763_719_200_000).after(self.0.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[derive(Debug)]
struct Running {
    instance: Instance,
    runs_at: Timestamp,
    gone_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    sets: BTreeMap<SetId, Vec<Running>>,
    split: Option<Split>,
    born: u16,
    epoch: Epoch,
    /// Calls by name.
    pub(crate) calls: BTreeMap<&'static str, u32>,
    /// Releases whose instances never become healthy.
    pub(crate) bad: BTreeSet<ReleaseId>,
    /// Calls of this name fail this often, with this kind.
    pub(crate) failing: BTreeMap<&'static str, (u32, ErrorKind)>,
    /// Rules that were broken.
    pub(crate) violations: Vec<String>,
    /// Each look leads to a hint.
    pub(crate) noisy: bool,
    /// Instances that are born as this one or later never become healthy.
    pub(crate) sick_from: Option<u16>,
    /// What backends and instances echo.
    pub(crate) echo: String,
    /// What releases resolve to is different today.
    pub(crate) moved: bool,
    /// The router has no maintenance page.
    pub(crate) no_page: bool,
    points: u32,
    crash_at: Option<u32>,
}

/// Target, router, health check and journal of one workload. Clones are the same world.
#[derive(Debug, Clone)]
pub(crate) struct World {
    inner: Arc<Mutex<Inner>>,
    crashed: Arc<Notify>,
    hints: Arc<Notify>,
    pub(crate) clock: VirtualClock,
    pub(crate) journal: MemoryJournal,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::default(),
            crashed: Arc::default(),
            hints: Arc::default(),
            clock: VirtualClock::new(),
            journal: MemoryJournal::new(),
        }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn calls(&self, name: &str) -> u32 {
        self.inner().calls.get(name).copied().unwrap_or(0)
    }

    /// From now on the process dies at the point with this number.
    pub(crate) fn crash_at(&self, point: Option<u32>) {
        let mut inner = self.inner();
        inner.points = 0;
        inner.crash_at = point;
    }

    /// Runs until the end, or until the crash: `None`.
    pub(crate) async fn run<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = run => Some(done),
            () = self.crashed.notified() => None,
        }
    }

    /// Sets with their running instances, and weights with members: what is live.
    pub(crate) fn live(&self) -> Vec<(String, usize, u32, usize)> {
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.settle(now);
        let split = inner.split.clone().unwrap_or(Split::EMPTY);
        inner
            .sets
            .iter()
            .map(|(set, instances)| {
                let share = split.share(set);
                let members = share.map_or(0, |share| share.members.len());
                (set.to_string(), instances.len(), share.map_or(0, |share| share.weight), members)
            })
            .collect()
    }

    /// What the router was told last.
    pub(crate) fn split(&self) -> Option<Split> {
        self.inner().split.clone()
    }

    /// Kills an instance of a set, as if it had died by itself.
    pub(crate) fn kill_one(&self, set: &str) {
        let mut inner = self.inner();
        let instances = inner.sets.get_mut(&SetId::new(set).unwrap()).unwrap();
        instances[0].instance.phase = InstancePhase::Failed { reason: "exit code 9".into() };
    }

    /// Says that something changed.
    pub(crate) fn hint(&self) {
        self.hints.notify_one();
    }

    async fn point(&self) {
        let dies = {
            let mut inner = self.inner();
            inner.points += 1;
            inner.crash_at == Some(inner.points)
        };
        if dies {
            self.inner().crash_at = None;
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn call(&self, name: &'static str) -> Result<()> {
        let mut inner = self.inner();
        *inner.calls.entry(name).or_default() += 1;
        if let Some((left, kind)) = inner.failing.get_mut(name)
            && *left > 0
        {
            *left -= 1;
            let kind = *kind;
            let message = format!("as the test wants it{}", inner.echo);
            return Err(BackendError::new(kind, name, message));
        }
        Ok(())
    }

    fn fence(&self, context: &CallContext) -> Result<()> {
        let mut inner = self.inner();
        if context.epoch < inner.epoch {
            return Err(BackendError::new(ErrorKind::Conflict, "write", "an older epoch"));
        }
        inner.epoch = context.epoch;
        Ok(())
    }
}

impl Inner {
    fn settle(&mut self, now: Timestamp) {
        for instances in self.sets.values_mut() {
            instances.retain(|running| running.gone_at.is_none_or(|gone| gone > now));
            for running in instances {
                if running.instance.phase == InstancePhase::Starting && running.runs_at <= now {
                    running.instance.phase = InstancePhase::Running { ready: None };
                }
            }
        }
        self.sets.retain(|_, instances| !instances.is_empty());
    }

    fn stop(&mut self, set: &SetId, which: &InstanceId, now: Timestamp) {
        let split = self.split.clone().unwrap_or(Split::EMPTY);
        if split.shares().iter().any(|share| share.members.iter().any(|member| member.instance == *which)) {
            self.violations.push(format!("{which} is stopped in rotation"));
        }
        let Some(instances) = self.sets.get_mut(set) else { return };
        for running in instances.iter_mut().filter(|running| running.instance.id == *which) {
            let until = now.after(Duration::from_millis(30));
            if running.gone_at.is_none() {
                running.instance.phase = InstancePhase::Stopping { until };
                running.gone_at = Some(until);
            }
        }
    }
}

fn counts(running: &Running) -> bool {
    matches!(running.instance.phase, InstancePhase::Starting | InstancePhase::Running { .. })
}

#[async_trait]
impl Target for World {
    fn name(&self) -> &'static str {
        "world"
    }

    fn capabilities(&self) -> TargetCapabilities {
        TargetCapabilities {
            pins_victims: true,
            admits_itself: false,
            delegates: false,
            grows_adopted: false,
            exclusive: None,
            fences: true,
            stop_grace: Duration::from_secs(1),
        }
    }

    async fn observe(&self, _context: &CallContext) -> Result<WorkloadView> {
        self.call("observe")?;
        if self.inner().noisy {
            self.hint();
        }
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.settle(now);
        let place = Place::new("here").unwrap();
        let sets = inner.sets.iter().map(|(set, instances)| SetView {
            set: set.clone(),
            instances: instances.iter().map(|running| running.instance.clone()).collect(),
        });
        let places = vec![PlaceView { place, status: PlaceStatus::Known }];
        Ok(WorkloadView { places, sets: sets.collect() })
    }

    async fn prepare(&self, _context: &CallContext, release: &Release) -> Result<Artifact> {
        self.point().await;
        self.call("prepare")?;
        let moved = if self.inner().moved { "-moved" } else { "" };
        let digest = format!("sha:{}{moved}", release.artifact).into();
        Ok(Artifact { digest, detail: serde_json::Value::Null })
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        self.point().await;
        self.call("apply")?;
        self.fence(context)?;
        let now = self.clock.now();
        {
            let mut inner = self.inner();
            inner.settle(now);
            inner
                .sets
                .entry(spec.set.clone())
                .or_default()
                .retain(|running| !matches!(running.instance.phase, InstancePhase::Failed { .. }));
            let alive: Vec<InstanceId> = inner.sets[&spec.set]
                .iter()
                .filter(|running| counts(running))
                .map(|running| running.instance.id.clone())
                .collect();
            let surplus = alive.len().saturating_sub(spec.replicas as usize);
            let named = spec.remove_first.iter().filter(|id| alive.contains(id));
            let others = alive.iter().filter(|id| !spec.remove_first.contains(id));
            for id in named.chain(others).take(surplus) {
                inner.stop(&spec.set, id, now);
            }
            for _ in alive.len()..spec.replicas as usize {
                inner.born += 1;
                let born = inner.born;
                let instance = Instance {
                    id: InstanceId::new(format!("{}-{born}", spec.set)).unwrap(),
                    place: Place::new("here").unwrap(),
                    address: Some(SocketAddr::from(([127, 0, 0, 1], born))),
                    phase: InstancePhase::Starting,
                    started_at: now,
                    restarts: 0,
                    digest: release.artifact.digest.clone(),
                };
                let runs_at = now.after(Duration::from_millis(50));
                let running = Running { instance, runs_at, gone_at: None };
                inner.sets.entry(spec.set.clone()).or_default().push(running);
            }
        }
        self.point().await;
        Ok(())
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        self.point().await;
        self.call("remove")?;
        self.fence(context)?;
        let now = self.clock.now();
        {
            let mut inner = self.inner();
            let all: Vec<InstanceId> = inner
                .sets
                .get(set)
                .map(|instances| instances.iter().map(|running| running.instance.id.clone()).collect())
                .unwrap_or_default();
            for id in &all {
                inner.stop(set, id, now);
            }
        }
        self.point().await;
        Ok(())
    }

    async fn watch(&self, _context: &CallContext) -> Result<Changes> {
        let hints = Arc::clone(&self.hints);
        let hint = |hints: Arc<Notify>| async {
            hints.notified().await;
            Some(((), hints))
        };
        Ok(futures::stream::unfold(hints, hint).boxed())
    }

    async fn evidence(&self, _context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        self.call("evidence")?;
        let log = format!("starting {instance}\nno database{}\n", self.inner().echo);
        Ok(Evidence { log, exit: None, events: Vec::new() })
    }
}

#[async_trait]
impl TrafficRouter for World {
    fn name(&self) -> &'static str {
        "world"
    }

    fn capabilities(&self) -> RouterCapabilities {
        RouterCapabilities {
            weights: true,
            header_routes: true,
            cookie_routes: true,
            maintenance: !self.inner().no_page,
            members: true,
            proves: true,
            counts_in_flight: true,
            fences: true,
        }
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        self.point().await;
        self.call("shift")?;
        self.fence(context)?;
        let now = self.clock.now();
        {
            let mut inner = self.inner();
            inner.settle(now);
            for member in split.shares().iter().flat_map(|share| &share.members) {
                let running =
                    inner.sets.values().flatten().find(|running| running.instance.id == member.instance);
                let runs = running
                    .is_some_and(|running| matches!(running.instance.phase, InstancePhase::Running { .. }));
                if !runs {
                    inner.violations.push(format!("{} gets traffic and does not run", member.instance));
                }
            }
            inner.split = Some(split.clone());
        }
        self.point().await;
        Ok(())
    }

    async fn current(&self, _context: &CallContext) -> Result<TrafficView> {
        self.call("current")?;
        let split = self.inner().split.clone().unwrap_or(Split::EMPTY);
        Ok(TrafficView { split, proof: Proof::Proven { generation: 1 } })
    }

    async fn in_flight(&self, _context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        self.call("in_flight")?;
        Ok(vec![InFlight::Known(0); members.len()])
    }

    async fn watch(&self, _context: &CallContext) -> Result<Changes> {
        Ok(futures::stream::pending().boxed())
    }
}

#[async_trait]
impl HealthCheck for World {
    fn describe(&self) -> String {
        "alive in the world".into()
    }

    async fn probe(&self, _context: &CallContext, instance: &Instance) -> Probe {
        let inner = self.inner();
        let bad = inner.bad.iter().any(|release| instance.id.as_str().starts_with(release.as_str()));
        let number = instance.address.map_or(0, |address| address.port());
        let bad = bad || inner.sick_from.is_some_and(|sick| number >= sick);
        if bad { Probe::Failed { why: format!("status 500{}", inner.echo) } } else { Probe::Ok }
    }
}

#[async_trait]
impl Journal for World {
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> std::result::Result<(), JournalError> {
        self.point().await;
        self.journal.create(workloads, first).await?;
        self.point().await;
        Ok(())
    }

    async fn append(&self, event: &Event) -> std::result::Result<(), JournalError> {
        self.point().await;
        self.journal.append(event).await?;
        self.point().await;
        Ok(())
    }

    async fn load(&self, deployment: &DeploymentId) -> std::result::Result<Vec<Event>, JournalError> {
        self.journal.load(deployment).await
    }

    async fn list(&self, workload: &WorkloadId) -> std::result::Result<Vec<DeploymentId>, JournalError> {
        self.journal.list(workload).await
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> std::result::Result<Epoch, JournalError> {
        self.journal.last_epoch(workload).await
    }
}
