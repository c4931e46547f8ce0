//! What a deployment is made of, after it was checked.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{EngineSettings, Limit, ProbeSettings, wanted::Wanted};
use crate::{
    event::{CrashKind, StageOutline, UndoKind},
    journal::hex,
    model::{
        DeploymentId, Epoch, GateBinding, GateId, PinnedRelease, Replicas, RolloutSettings, SetId, StageId,
        WorkloadId,
    },
    pipeline::Stage,
    ports::{
        CallContext, Clock, Gate, HealthCheck, Journal, Lock, Notifier, RequestStore, Target, TrafficRouter,
    },
    redact::Redactor,
    strategy::Strategy,
};

/// What all stages work with.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) lock: Arc<dyn Lock>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) notifiers: Vec<Arc<dyn Notifier>>,
    pub(crate) requests: Option<Arc<dyn RequestStore>>,
    pub(crate) limit: Option<Limit>,
    pub(crate) redactor: Redactor,
    pub(crate) engine: EngineSettings,
}

/// What a deployment is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) id: DeploymentId,
    pub(crate) id_is_given: bool,
    pub(crate) revision: u64,
    pub(crate) takes_over: bool,
    pub(crate) pass_over: Vec<DeploymentId>,
    /// Sorted, each once.
    pub(crate) workloads: Vec<WorkloadId>,
    pub(crate) stages: Vec<StageParts>,
    pub(crate) tools: Tools,
}

/// What one stage is made of.
pub(crate) struct StageParts {
    pub(crate) id: StageId,
    pub(crate) work: StageWork,
}

/// What a stage does.
pub(crate) enum StageWork {
    Rollout(Box<RolloutParts>),
    Custom(Stage),
}

/// What a rollout is made of.
#[derive(Debug)]
pub(crate) struct RolloutParts {
    pub(crate) workload: WorkloadId,
    pub(crate) wanted: Wanted,
    pub(crate) replicas: Replicas,
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) adopt: Option<SetId>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) router: Option<Arc<dyn TrafficRouter>>,
    pub(crate) check: Option<Arc<dyn HealthCheck>>,
    pub(crate) probing: ProbeSettings,
    pub(crate) bindings: Vec<GateBinding>,
    pub(crate) gates: BTreeMap<GateId, Arc<dyn Gate>>,
    pub(crate) settings: RolloutSettings,
    pub(crate) tools: Tools,
}

/// Releases by the set that runs them: what is needed to change the size of a set.
pub(crate) type KnownReleases = BTreeMap<SetId, PinnedRelease>;

impl Tools {
    /// What travels with every call of a run.
    pub(crate) fn context(
        &self,
        workload: &WorkloadId,
        deployment: &DeploymentId,
        epoch: Epoch,
    ) -> CallContext {
        let deadline = self.engine.call_deadline;
        CallContext { workload: workload.clone(), deployment: deployment.clone(), epoch, deadline }
    }
}

impl Parts {
    /// The rollouts, each with the place of its stage.
    pub(crate) fn rollouts(&self) -> impl Iterator<Item = (usize, &RolloutParts)> {
        self.stages.iter().enumerate().filter_map(|(index, stage)| match &stage.work {
            StageWork::Rollout(parts) => Some((index, &**parts)),
            StageWork::Custom(_) => None,
        })
    }

    /// All stages, as the first event lists them.
    pub(crate) fn outline(&self) -> Vec<StageOutline> {
        self.stages.iter().map(StageParts::outline).collect()
    }

    /// A hash of everything that makes the plan: an unfinished deployment with the same one is resumed.
    pub(crate) fn plan_hash(&self) -> String {
        #[derive(Serialize)]
        struct Hashed<'a> {
            revision: u64,
            stages: Vec<StageOutline>,
            rollouts: Vec<HashedRollout<'a>>,
        }
        let rollouts = self.rollouts().map(|(_, parts)| HashedRollout::of(parts)).collect();
        let hashed = Hashed { revision: self.revision, stages: self.outline(), rollouts };
        let bytes = serde_json::to_vec(&hashed).unwrap_or_default();
        hex(&Sha256::digest(bytes))
    }
}

/// What of a rollout makes the plan.
#[derive(Serialize)]
struct HashedRollout<'a> {
    workload: &'a WorkloadId,
    wanted: &'a Wanted,
    replicas: Replicas,
    strategy: &'a str,
    strategy_settings: String,
    adopt: Option<&'a SetId>,
    gates: &'a [GateBinding],
    settings: &'a RolloutSettings,
}

impl<'a> HashedRollout<'a> {
    fn of(parts: &'a RolloutParts) -> Self {
        Self {
            workload: &parts.workload,
            wanted: &parts.wanted,
            replicas: parts.replicas,
            strategy: parts.strategy.name(),
            strategy_settings: format!("{:?}", parts.strategy),
            adopt: parts.adopt.as_ref(),
            gates: &parts.bindings,
            settings: &parts.settings,
        }
    }
}

impl StageParts {
    fn outline(&self) -> StageOutline {
        match &self.work {
            StageWork::Custom(stage) => stage.outline(self.id.clone()),
            StageWork::Rollout(parts) => StageOutline {
                id: self.id.clone(),
                what: match &parts.wanted {
                    Wanted::Nothing(..) => format!("removal of {}", parts.workload),
                    Wanted::Current => {
                        format!("{} rollout of {} as it is", parts.strategy.name(), parts.workload)
                    }
                    release => {
                        format!("{} rollout of {} to {release}", parts.strategy.name(), parts.workload)
                    }
                },
                workload: Some(parts.workload.clone()),
                undo: UndoKind::Rollout,
                after_crash: CrashKind::GoesOn,
            },
        }
    }
}

impl fmt::Debug for StageParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            StageWork::Rollout(parts) => f.debug_tuple("Rollout").field(&self.id).field(parts).finish(),
            StageWork::Custom(stage) => stage.fmt(f),
        }
    }
}
