//! What happened to a workload.

use serde::{Deserialize, Serialize};

use super::{Unreadable, reading::Journaled};
use crate::{
    event::EventKind,
    model::{DeploymentId, ReleaseId, Timestamp, WorkloadId},
    strategy::Outcome,
};

/// A release that a deployment was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRelease {
    /// Of what.
    pub workload: WorkloadId,
    /// Which.
    pub release: ReleaseId,
    /// What it resolved to; `None` if it never was.
    pub digest: Option<String>,
}

/// One deployment, as its journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastDeployment {
    /// Which.
    pub deployment: DeploymentId,
    /// Of what, sorted.
    pub workloads: Vec<WorkloadId>,
    /// Its stages in words, in their order.
    pub stages: Vec<String>,
    /// The releases of the rollouts that began.
    pub releases: Vec<PastRelease>,
    /// How it ended; `None` if it has not.
    pub outcome: Option<Outcome>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, if it did.
    pub finished_at: Option<Timestamp>,
    /// Who drove it, in this order: host, process and user of who began it, then of those who went on with it.
    pub owners: Vec<String>,
}

/// One entry of the history of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryEntry {
    /// A deployment.
    Deployment(PastDeployment),
    /// A journal that cannot be read.
    Unreadable(Unreadable),
}

impl HistoryEntry {
    /// Which deployment.
    pub fn deployment(&self) -> &DeploymentId {
        match self {
            Self::Deployment(past) => &past.deployment,
            Self::Unreadable(unreadable) => &unreadable.deployment,
        }
    }
}

impl PastDeployment {
    pub(super) fn of(journaled: &Journaled) -> Self {
        let Journaled { recovery, events } = journaled;
        let stages = &recovery.progress.stages;
        let release = |run: &crate::pipeline::Rollout| PastRelease {
            workload: run.plan.workload.clone(),
            release: run.plan.release.id.clone(),
            digest: run.state.artifact.as_ref().map(|artifact| artifact.digest.to_string()),
        };
        let owners = events.iter().filter_map(|event| match &event.kind {
            EventKind::DeploymentStarted { owner, .. }
            | EventKind::Resumed { owner }
            | EventKind::Resolved { owner, .. } => Some(owner.clone()),
            _ => None,
        });
        let outcome = recovery.progress.ended.clone();
        Self {
            deployment: recovery.deployment.clone(),
            workloads: recovery.workloads.clone(),
            stages: stages.iter().map(|stage| stage.outline.what.clone()).collect(),
            releases: stages
                .iter()
                .filter_map(|stage| stage.forward.as_ref().map(|run| release(&run.rollout)))
                .collect(),
            started_at: recovery.started_at,
            finished_at: outcome.is_some().then_some(recovery.finished_at),
            outcome,
            owners: owners.collect(),
        }
    }
}
