//! Describing a deployment.

use std::{fmt, sync::Arc};

use super::{
    Deployment, IntoShared, ProbeSettings,
    base::{Base, base_setters},
    check::{check, check_engine},
    parts::{RolloutParts, StageParts, StageWork, Tools},
    wanted::Wanted,
};
use crate::{
    error::{DeployError, Problem},
    model::{
        AttachPoint, GateBinding, GateId, Release, ReleaseId, Replicas, RolloutSettings, SetId, StageId,
        WorkloadId,
    },
    ports::{Gate, HealthCheck, Target, TrafficRouter},
    strategy::Strategy,
};

/// The name of the only stage of a deployment that is no pipeline.
const ROLLOUT: &str = "rollout";

/// Describes a deployment. A release, replicas, strategy and target have to be given; everything else has a default.
///
/// Ports are taken as values, as `Arc`s of values, and as `Arc<dyn Port>`.
#[derive(Debug)]
#[must_use = "nothing happens before `build` and `run`"]
pub struct DeploymentBuilder {
    pub(super) workload: Option<WorkloadId>,
    pub(super) wanted: Option<Wanted>,
    pub(super) replicas: Option<Replicas>,
    pub(super) strategy: Option<Arc<dyn Strategy>>,
    pub(super) adopt: Option<SetId>,
    pub(super) target: Option<Arc<dyn Target>>,
    pub(super) router: Option<Arc<dyn TrafficRouter>>,
    pub(super) check: Option<Arc<dyn HealthCheck>>,
    pub(super) probing: ProbeSettings,
    pub(super) gates: Vec<(GateBinding, Arc<dyn Gate>)>,
    pub(super) settings: RolloutSettings,
    pub(crate) base: Base,
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
            wanted: None,
            replicas: None,
            strategy: None,
            adopt: None,
            target: None,
            router: None,
            check: None,
            probing: ProbeSettings::default(),
            gates: Vec::new(),
            settings: RolloutSettings::default(),
            base: Base::default(),
        };
        builder.workload = builder.base.name("workload", workload);
        builder
    }

    /// The release to put live.
    pub fn release(mut self, release: Release) -> Self {
        self.wanted = Some(Wanted::Release(release));
        self
    }

    /// Puts a release live that was live before, instead of naming one in full: exactly what it was, with its
    /// configuration, as the journal has it. It is refused if the journal does not have it, and before anything is
    /// touched if it resolves to another artifact today.
    ///
    /// ```no_run
    /// # async fn example(target: std::sync::Arc<dyn deployer_core::ports::Target>) -> Result<(), Box<dyn std::error::Error>> {
    /// # use deployer_core::{engine::Deployment, journal::FileJournal, lock::FileLock, strategy::Rolling};
    /// let back = Deployment::builder("web")
    ///     .roll_back_to("v1")
    ///     .replicas(4)
    ///     .strategy(Rolling::default())
    ///     .target(target)
    ///     .journal(FileJournal::open("state")?)
    ///     .lock(FileLock::open("state")?)
    ///     .build()?;
    /// back.run().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn roll_back_to(mut self, release: impl TryInto<ReleaseId, Error: fmt::Display>) -> Self {
        let release = self.base.name("roll_back_to", release);
        self.wanted = release.map(Wanted::Earlier).or(self.wanted);
        self
    }

    /// Keeps the release that is live: to change the number of replicas, or to repair what is missing. It is refused
    /// if the journal knows of none, and before anything is touched if it resolves to another artifact today.
    ///
    /// ```no_run
    /// # async fn example(target: std::sync::Arc<dyn deployer_core::ports::Target>) -> Result<(), Box<dyn std::error::Error>> {
    /// # use deployer_core::{engine::Deployment, journal::FileJournal, lock::FileLock, strategy::Rolling};
    /// let scale = Deployment::builder("web")
    ///     .current_release()
    ///     .replicas(8)
    ///     .strategy(Rolling::default())
    ///     .target(target)
    ///     .journal(FileJournal::open("state")?)
    ///     .lock(FileLock::open("state")?)
    ///     .build()?;
    /// scale.run().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn current_release(mut self) -> Self {
        self.wanted = Some(Wanted::Current);
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
        if let Some(name) = self.base.name("gate", name) {
            self.gates.push((GateBinding { gate: name, at }, gate.into_shared()));
        }
        self
    }

    /// Settings that all strategies share.
    pub fn settings(mut self, settings: RolloutSettings) -> Self {
        self.settings = settings;
        self
    }

    base_setters!();

    /// A set that runs already and that no journal knows: it is what a failing rollout goes back to. Ignored once a
    /// deployment of this workload has succeeded.
    pub fn adopt(mut self, set: impl TryInto<SetId, Error: fmt::Display>) -> Self {
        self.adopt = self.base.name("adopt", set);
        self
    }

    /// Checks everything, against the capabilities of target and router too. Touches nothing.
    ///
    /// # Errors
    /// [`DeployError::Refused`] with all problems at once.
    pub fn build(mut self) -> Result<Deployment, DeployError> {
        let tools = self.base.tools();
        let mut base = std::mem::take(&mut self.base);
        let mut problems = check_engine(&base.engine);
        // Names that were none are problems of the rollout.
        self.base.problems = std::mem::take(&mut base.problems);
        let rollout = self.into_rollout(&tools).map_err(|found| problems.extend(found)).ok();
        let Some(rollout) = rollout.filter(|_| problems.is_empty()) else {
            return Err(DeployError::Refused(problems));
        };
        let (workload, wanted) = (rollout.workload.clone(), rollout.wanted.to_string());
        base.deployment(&[workload.as_str(), &wanted], tools, Vec::new(), vec![only_stage(rollout)])
    }

    /// The rollout alone, or all problems.
    pub(crate) fn into_rollout(mut self, tools: &Tools) -> Result<RolloutParts, Vec<Problem>> {
        let mut problems = std::mem::take(&mut self.base.problems);
        problems.extend(check(&self));
        let (Some(workload), Some(wanted), Some(replicas), Some(strategy), Some(target), true) =
            (self.workload, self.wanted, self.replicas, self.strategy, self.target, problems.is_empty())
        else {
            return Err(problems);
        };
        Ok(RolloutParts {
            workload,
            wanted,
            replicas,
            strategy,
            adopt: self.adopt,
            target,
            router: self.router,
            check: self.check,
            probing: self.probing,
            bindings: self.gates.iter().map(|(binding, _)| binding.clone()).collect(),
            gates: self.gates.into_iter().map(|(binding, gate)| (binding.gate, gate)).collect(),
            settings: self.settings,
            tools: tools.clone(),
        })
    }
}

/// The stage of a deployment that has no other.
pub(super) fn only_stage(rollout: RolloutParts) -> StageParts {
    let id = StageId::new(ROLLOUT).expect("a short word of letters is a name");
    StageParts { id, work: StageWork::Rollout(Box::new(rollout)) }
}
