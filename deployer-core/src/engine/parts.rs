//! What a deployment is made of, after it was checked.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{EngineSettings, ProbeSettings};
use crate::{
    journal::hex,
    model::{
        DeploymentId, Epoch, GateBinding, GateId, PinnedRelease, Release, Replicas, RolloutSettings, SetId,
        WorkloadId,
    },
    ports::{CallContext, Clock, Gate, HealthCheck, Journal, Lock, Notifier, Target, TrafficRouter},
    strategy::Strategy,
};

/// What a deployment is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) workload: WorkloadId,
    pub(crate) id: DeploymentId,
    pub(crate) id_is_given: bool,
    pub(crate) release: Release,
    pub(crate) replicas: Replicas,
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) revision: u64,
    pub(crate) adopt: Option<SetId>,
    pub(crate) takes_over: bool,
    pub(crate) pass_over: Vec<DeploymentId>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) router: Option<Arc<dyn TrafficRouter>>,
    pub(crate) check: Option<Arc<dyn HealthCheck>>,
    pub(crate) probing: ProbeSettings,
    pub(crate) bindings: Vec<GateBinding>,
    pub(crate) gates: BTreeMap<GateId, Arc<dyn Gate>>,
    pub(crate) settings: RolloutSettings,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) lock: Arc<dyn Lock>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) notifiers: Vec<Arc<dyn Notifier>>,
    pub(crate) engine: EngineSettings,
}

/// Releases by the set that runs them: what is needed to change the size of a set.
pub(crate) type KnownReleases = BTreeMap<SetId, PinnedRelease>;

impl Parts {
    /// What travels with every call of a run.
    pub(crate) fn context(&self, deployment: &DeploymentId, epoch: Epoch) -> CallContext {
        CallContext {
            workload: self.workload.clone(),
            deployment: deployment.clone(),
            epoch,
            deadline: self.engine.call_deadline,
        }
    }

    /// A hash of everything that makes the plan: an unfinished deployment with the same one is resumed.
    pub(crate) fn plan_hash(&self) -> String {
        #[derive(Serialize)]
        struct Hashed<'a> {
            workload: &'a WorkloadId,
            release: &'a Release,
            replicas: Replicas,
            strategy: &'a str,
            strategy_settings: String,
            revision: u64,
            adopt: Option<&'a SetId>,
            gates: &'a [GateBinding],
            settings: &'a RolloutSettings,
        }
        let hashed = Hashed {
            workload: &self.workload,
            release: &self.release,
            replicas: self.replicas,
            strategy: self.strategy.name(),
            strategy_settings: format!("{:?}", self.strategy),
            revision: self.revision,
            adopt: self.adopt.as_ref(),
            gates: &self.bindings,
            settings: &self.settings,
        };
        let bytes = serde_json::to_vec(&hashed).unwrap_or_default();
        hex(&Sha256::digest(bytes))
    }
}
