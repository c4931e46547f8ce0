//! Describing a deployment.

use std::{fmt, sync::Arc};

use super::{Deployment, EngineSettings, IntoShared, ProbeSettings, check::check, parts::Parts};
use crate::{
    error::{DeployError, Problem},
    journal::MemoryJournal,
    lock::MemoryLock,
    model::{
        AttachPoint, DeploymentId, GateBinding, GateId, Release, Replicas, RolloutSettings, SetId, Timestamp,
        WorkloadId,
    },
    ports::{Clock, Gate, HealthCheck, Journal, Lock, Notifier, SystemClock, Target, TrafficRouter},
    strategy::Strategy,
};

/// Describes a deployment. Release, replicas, strategy and target have to be given; everything else has a default.
///
/// Ports are taken as values, as `Arc`s of values, and as `Arc<dyn Port>`.
#[derive(Debug)]
#[must_use = "nothing happens before `build` and `run`"]
pub struct DeploymentBuilder {
    pub(super) workload: Option<WorkloadId>,
    pub(super) id: Option<DeploymentId>,
    pub(super) release: Option<Release>,
    pub(super) replicas: Option<Replicas>,
    pub(super) strategy: Option<Arc<dyn Strategy>>,
    pub(super) revision: u64,
    pub(super) adopt: Option<SetId>,
    takes_over: bool,
    pass_over: Vec<DeploymentId>,
    pub(super) target: Option<Arc<dyn Target>>,
    pub(super) router: Option<Arc<dyn TrafficRouter>>,
    pub(super) check: Option<Arc<dyn HealthCheck>>,
    pub(super) probing: ProbeSettings,
    pub(super) gates: Vec<(GateBinding, Arc<dyn Gate>)>,
    pub(super) settings: RolloutSettings,
    pub(super) engine: EngineSettings,
    /// Names that were none.
    pub(super) problems: Vec<Problem>,
    journal: Option<Arc<dyn Journal>>,
    lock: Option<Arc<dyn Lock>>,
    clock: Option<Arc<dyn Clock>>,
    notifiers: Vec<Arc<dyn Notifier>>,
}

impl From<u32> for Replicas {
    fn from(replicas: u32) -> Self {
        Self::Fixed(replicas)
    }
}

impl DeploymentBuilder {
    pub(super) fn new(workload: impl TryInto<WorkloadId, Error: fmt::Display>) -> Self {
        let mut builder = Self {
            workload: None,
            id: None,
            release: None,
            replicas: None,
            strategy: None,
            revision: 0,
            adopt: None,
            takes_over: false,
            pass_over: Vec::new(),
            target: None,
            router: None,
            check: None,
            probing: ProbeSettings::default(),
            gates: Vec::new(),
            settings: RolloutSettings::default(),
            engine: EngineSettings::default(),
            problems: Vec::new(),
            journal: None,
            lock: None,
            clock: None,
            notifiers: Vec::new(),
        };
        builder.workload = builder.name("workload", workload);
        builder
    }

    /// The release to put live.
    pub fn release(mut self, release: Release) -> Self {
        self.release = Some(release);
        self
    }

    /// How many instances there are to be: a number, or [`Replicas::OwnedByTarget`].
    pub fn replicas(mut self, replicas: impl Into<Replicas>) -> Self {
        self.replicas = Some(replicas.into());
        self
    }

    /// How the release replaces the one before. What `Debug` says of it is part of the plan: an unfinished deployment
    /// is resumed only if that is the same.
    pub fn strategy(mut self, strategy: impl IntoShared<dyn Strategy>) -> Self {
        self.strategy = Some(strategy.into_shared());
        self
    }

    /// Where instances run.
    pub fn target(mut self, target: impl IntoShared<dyn Target>) -> Self {
        self.target = Some(target.into_shared());
        self
    }

    /// Who gets which requests. Default none: for workloads that are not sent requests.
    pub fn router(mut self, router: impl IntoShared<dyn TrafficRouter>) -> Self {
        self.router = Some(router.into_shared());
        self
    }

    /// Whether an instance works. Default: what the platform says.
    pub fn check(mut self, check: impl IntoShared<dyn HealthCheck>) -> Self {
        self.check = Some(check.into_shared());
        self
    }

    /// How instances are probed with the health check.
    pub fn probing(mut self, probing: ProbeSettings) -> Self {
        self.probing = probing;
        self
    }

    /// Who is asked whether the rollout may go on, and where. A gate may be asked at several points.
    pub fn gate(
        mut self,
        at: AttachPoint,
        name: impl TryInto<GateId, Error: fmt::Display>,
        gate: impl IntoShared<dyn Gate>,
    ) -> Self {
        if let Some(name) = self.name("gate", name) {
            self.gates.push((GateBinding { gate: name, at }, gate.into_shared()));
        }
        self
    }

    /// Settings that all strategies share.
    pub fn settings(mut self, settings: RolloutSettings) -> Self {
        self.settings = settings;
        self
    }

    /// How patient the engine is.
    pub fn engine(mut self, engine: EngineSettings) -> Self {
        self.engine = engine;
        self
    }

    /// Where decisions are kept. Default: in memory, so that a crash cannot be resumed and the next process does not
    /// know what is live. Use a [`FileJournal`](crate::journal::FileJournal) for anything that matters.
    pub fn journal(mut self, journal: impl IntoShared<dyn Journal>) -> Self {
        self.journal = Some(journal.into_shared());
        self
    }

    /// Who may write. Default: in memory and for this deployment alone, so that it keeps nobody else away. Use a
    /// [`FileLock`](crate::lock::FileLock) for anything that matters.
    pub fn lock(mut self, lock: impl IntoShared<dyn Lock>) -> Self {
        self.lock = Some(lock.into_shared());
        self
    }

    /// What time it is. Default: the system's.
    pub fn clock(mut self, clock: impl IntoShared<dyn Clock>) -> Self {
        self.clock = Some(clock.into_shared());
        self
    }

    /// Who is told of events, among others.
    pub fn notifier(mut self, notifier: impl IntoShared<dyn Notifier>) -> Self {
        self.notifiers.push(notifier.into_shared());
        self
    }

    /// The name of this deployment. Default: workload, release and time.
    pub fn id(mut self, id: impl TryInto<DeploymentId, Error: fmt::Display>) -> Self {
        self.id = self.name("id", id);
        self
    }

    /// A set that runs already and that no journal knows: it is what a failing rollout goes back to. Ignored once a
    /// deployment of this workload has succeeded.
    pub fn adopt(mut self, set: impl TryInto<SetId, Error: fmt::Display>) -> Self {
        self.adopt = self.name("adopt", set);
        self
    }

    /// Part of the plan: raise it when code changed in a way that settings do not show, so that an unfinished
    /// deployment of the old code is not resumed. Default 0.
    pub fn revision(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    /// Takes the lock from whoever has it: from an owner that is dead, or stopped, or has to go. A
    /// [`FileLock`](crate::lock::FileLock) replaces a living owner too. The new epoch is shown to target and router at
    /// once, so that what the old owner still does is refused where they fence.
    pub fn take_over(mut self) -> Self {
        self.takes_over = true;
        self
    }

    /// A deployment whose journal may be unreadable: what it did is forgotten, where the run would be refused otherwise.
    /// May be given several times. A journal that can be read counts all the same.
    pub fn pass_over(mut self, deployment: impl TryInto<DeploymentId, Error: fmt::Display>) -> Self {
        let deployment = self.name("pass_over", deployment);
        self.pass_over.extend(deployment);
        self
    }

    /// Checks everything, against the capabilities of target and router too. Touches nothing.
    ///
    /// # Errors
    /// [`DeployError::Refused`] with all problems at once.
    pub fn build(mut self) -> Result<Deployment, DeployError> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend(check(&self));
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let (Some(workload), Some(release), Some(replicas), Some(strategy), Some(target), true) =
            (self.workload, self.release, self.replicas, self.strategy, self.target, problems.is_empty())
        else {
            return Err(DeployError::Refused(problems));
        };
        let id_is_given = self.id.is_some();
        let id = match self.id {
            Some(id) => id,
            None => name_by_time(&workload, &release, clock.now())?,
        };
        Ok(Deployment::new(Parts {
            workload,
            id,
            id_is_given,
            release,
            replicas,
            strategy,
            revision: self.revision,
            adopt: self.adopt,
            takes_over: self.takes_over,
            pass_over: self.pass_over,
            target,
            router: self.router,
            check: self.check,
            probing: self.probing,
            bindings: self.gates.iter().map(|(binding, _)| binding.clone()).collect(),
            gates: self.gates.into_iter().map(|(binding, gate)| (binding.gate, gate)).collect(),
            settings: self.settings,
            journal: self.journal.unwrap_or_else(|| Arc::new(MemoryJournal::new())),
            lock: self.lock.unwrap_or_else(|| Arc::new(MemoryLock::new())),
            clock,
            notifiers: self.notifiers,
            engine: self.engine,
        }))
    }

    fn name<T>(&mut self, at: &str, name: impl TryInto<T, Error: fmt::Display>) -> Option<T> {
        name.try_into().map_err(|error| self.problems.push(Problem::new(at, error.to_string()))).ok()
    }
}

/// The same plan at another time has another name; a resumed deployment keeps the one it began with.
fn name_by_time(
    workload: &WorkloadId,
    release: &Release,
    now: Timestamp,
) -> Result<DeploymentId, DeployError> {
    let short = |text: &str| text.chars().take(20).collect::<String>();
    let name = format!("{}-{}-{}", short(workload.as_str()), short(release.id.as_str()), now.as_millis());
    DeploymentId::new(name).map_err(|error| DeployError::Refused(vec![Problem::new("id", error.to_string())]))
}
