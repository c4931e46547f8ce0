//! What happened.

use serde::{Deserialize, Serialize};

use crate::{
    model::{DeploymentId, Epoch, Evidence, InstanceId, StageId, Timestamp, WorkloadId},
    strategy::{Command, Outcome, Plan, Request, RolloutState, WaitReason},
};

use super::{Resolution, StageOutline};

/// What happened. Durable kinds are journal records; the others are progress, may be dropped and are not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum EventKind {
    /// First record of every deployment.
    DeploymentStarted {
        /// What is deployed, sorted.
        workloads: Vec<WorkloadId>,
        /// All stages.
        stages: Vec<StageOutline>,
        /// Hash of everything that makes the plan; resume with another one is refused.
        plan_hash: String,
        /// Who started it.
        owner: String,
    },
    /// Somebody goes on with it.
    Resumed {
        /// Who.
        owner: String,
    },
    /// A stage begins.
    StageStarted,
    /// A stage did what it should.
    StageSucceeded {
        /// What it gives to later stages.
        #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
        output: serde_json::Value,
    },
    /// A stage failed.
    StageFailed {
        /// Why.
        message: String,
    },
    /// A stage that ran is being undone.
    UndoStarted,
    /// It is undone.
    UndoFinished,
    /// It could not be undone.
    UndoFailed {
        /// Why.
        message: String,
    },
    /// A person, or another process, asked for something that the pipeline itself takes in.
    Requested {
        /// What.
        request: Request,
    },
    /// A person decided what becomes of a deployment that was stuck.
    Resolved {
        /// What.
        resolution: Resolution,
        /// Who.
        owner: String,
    },
    /// A rollout begins, forward or as the undo of one: what it was started with.
    RolloutStarted {
        /// Everything that does not change while it runs.
        plan: Box<Plan>,
        /// Name of the strategy.
        strategy: String,
        /// Its first memory.
        state: Box<RolloutState>,
    },
    /// The rollout remembers something new.
    Advanced {
        /// The whole memory.
        state: Box<RolloutState>,
        /// Why.
        why: String,
    },
    /// What will be done next, written before it is done.
    Intent {
        /// What.
        commands: Vec<Command>,
        /// Why.
        why: String,
        /// How the commands of the last intent went, where that is known for certain.
        results: Vec<CommandResult>,
    },
    /// The rollout ended.
    RolloutFinished {
        /// How.
        outcome: Outcome,
    },
    /// Stopped at a safe point; can be resumed.
    Interrupted {
        /// Why.
        why: String,
    },
    /// Last record of a deployment that ended.
    DeploymentFinished {
        /// How.
        outcome: Outcome,
    },
    /// Progress, not stored: what the rollout waits for.
    Waiting {
        /// What for.
        why: WaitReason,
        /// Until when at the latest.
        until: Timestamp,
    },
    /// Progress, not stored: a call is made again.
    Retrying {
        /// Which.
        command: String,
        /// How often it was tried.
        attempt: u32,
        /// What went wrong.
        error: String,
    },
    /// Progress, not stored: what an instance that failed left behind, taken before it was removed. It is text of the
    /// instance itself and may hold anything, which is why no journal keeps it.
    EvidenceFound {
        /// Which instance.
        instance: InstanceId,
        /// What was wrong with it.
        why: String,
        /// What is known of it, the log cut to its last lines.
        evidence: Evidence,
    },
    /// Progress, not stored: anything else worth showing.
    Note {
        /// What.
        message: String,
    },
}

/// How one command went, where that is known for certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// Index in the intent.
    pub command: u32,
    /// `None` if it was accepted, else why it was refused.
    pub error: Option<String>,
}

impl EventKind {
    /// Whether it is a journal record.
    pub fn is_durable(&self) -> bool {
        !matches!(
            self,
            Self::Waiting { .. } | Self::Retrying { .. } | Self::EvidenceFound { .. } | Self::Note { .. }
        )
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// Numbers durable events without gaps, from 0. A progress event has the number of the last durable one.
    pub seq: u64,
    /// With which right to write.
    pub epoch: Epoch,
    /// When.
    pub at: Timestamp,
    /// The stages it happened in, outermost first.
    pub path: Vec<StageId>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}
