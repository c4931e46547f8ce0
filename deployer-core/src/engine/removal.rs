//! Describing a removal.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    Deployment, IntoShared, ProbeSettings,
    base::{Base, base_setters},
    builder::only_stage,
    check::check_engine,
    parts::RolloutParts,
    wanted::Wanted,
};
use crate::{
    error::{DeployError, Problem},
    model::{Maintenance, Replicas, RolloutSettings, WorkloadId},
    ports::{Target, TrafficRouter},
    strategy::{Removal, Vacate},
};

/// Describes a removal: a deployment that takes a workload down on purpose. Only the target has to be given, and the
/// router if the workload has one.
///
/// First its traffic gets the maintenance page, which is proven; then requests end, and every set is removed. It is
/// journaled and resumed like every deployment, and cannot be aborted once it has begun. Afterwards nothing is live, and
/// the next deployment of the workload is its first one; releases that were live can still be
/// [rolled back to](super::DeploymentBuilder::roll_back_to).
#[derive(Debug)]
#[must_use = "nothing happens before `build` and `run`"]
pub struct RemovalBuilder {
    workload: Option<WorkloadId>,
    target: Option<Arc<dyn Target>>,
    router: Option<Arc<dyn TrafficRouter>>,
    settings: RolloutSettings,
    vacate: Vacate,
    reason: String,
    base: Base,
}

impl RemovalBuilder {
    pub(super) fn new(workload: impl TryInto<WorkloadId, Error: fmt::Display>) -> Self {
        let mut base = Base::default();
        Self {
            workload: base.name("workload", workload),
            target: None,
            router: None,
            settings: RolloutSettings::default(),
            vacate: Vacate::default(),
            reason: "it is no longer needed".to_owned(),
            base,
        }
    }

    /// Where its instances run.
    pub fn target(mut self, target: impl IntoShared<dyn Target>) -> Self {
        self.target = Some(target.into_shared());
        self
    }

    /// Who routes its traffic. Default none: for workloads that are not sent requests.
    pub fn router(mut self, router: impl IntoShared<dyn TrafficRouter>) -> Self {
        self.router = Some(router.into_shared());
        self
    }

    /// How long requests may take to end, and the like.
    pub fn settings(mut self, settings: RolloutSettings) -> Self {
        self.settings = settings;
        self
    }

    /// What clients are answered from then on.
    pub fn maintenance(mut self, page: Maintenance) -> Self {
        self.vacate = Vacate::Maintenance(page);
        self
    }

    /// Allows the removal where the router has no maintenance page: clients then get whatever it does with an empty
    /// rotation, most often an error or a refused connection.
    pub fn without_maintenance(mut self) -> Self {
        self.vacate = Vacate::EmptyRotation;
        self
    }

    /// Why it is removed, for the journal.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    base_setters!();

    /// Checks everything, against the capabilities of the router too. Touches nothing.
    ///
    /// # Errors
    /// [`DeployError::Refused`] with all problems at once.
    pub fn build(mut self) -> Result<Deployment, DeployError> {
        let tools = self.base.tools();
        let mut problems = std::mem::take(&mut self.base.problems);
        problems.extend(check_engine(&self.base.engine));
        if self.target.is_none() {
            problems.push(Problem::new("target", "say where instances run"));
        }
        let has_page = self.router.as_ref().is_none_or(|router| router.capabilities().maintenance);
        if !has_page && matches!(self.vacate, Vacate::Maintenance(_)) {
            let why = "this router has no maintenance answer, so clients would see errors; allow that with `without_maintenance`";
            problems.push(Problem::new("router", why));
        }
        let (Some(workload), Some(target), true) = (self.workload, self.target, problems.is_empty()) else {
            return Err(DeployError::Refused(problems));
        };
        let rollout = RolloutParts {
            workload: workload.clone(),
            wanted: Wanted::Nothing(self.vacate, self.reason),
            // Nothing grows on the way to nothing.
            replicas: Replicas::Fixed(1),
            strategy: Arc::new(Removal),
            adopt: None,
            target,
            router: self.router,
            check: None,
            probing: ProbeSettings::default(),
            bindings: Vec::new(),
            gates: BTreeMap::new(),
            settings: self.settings,
            tools: tools.clone(),
        };
        self.base.deployment(&[workload.as_str(), "removal"], tools, Vec::new(), vec![only_stage(rollout)])
    }
}
