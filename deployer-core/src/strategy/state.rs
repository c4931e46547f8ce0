//! What a rollout remembers: decisions only. Everything else is looked at anew.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Vacate;
use crate::model::{Artifact, AttachPoint, GateId, InstanceId, SetId, StageId, Timestamp};

/// Which way a rollout goes. It turns at most once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the new release.
    Forward,
    /// Back to the old one.
    Backward {
        /// Why.
        cause: Cause,
    },
}

/// Why a rollout went back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Too many instances of the new release failed.
    InstancesFailed {
        /// How many failed.
        failed: u32,
        /// Of how many replicas.
        replicas: u32,
        /// What the last one died of.
        reason: String,
    },
    /// A gate said no.
    GateFailed {
        /// Which gate.
        gate: GateId,
        /// Why.
        reason: String,
    },
    /// A gate held the rollout for too long.
    GateTimedOut {
        /// Which gate.
        gate: GateId,
        /// What it was waiting for.
        reason: String,
    },
    /// Nothing moved for the progress deadline.
    NoProgress {
        /// What it was waiting for.
        waiting_for: String,
    },
    /// A backend refused a command for good.
    CommandFailed {
        /// What it answered.
        reason: String,
    },
    /// A person asked for it.
    AbortRequested {
        /// The reason given.
        reason: String,
    },
    /// The workload is taken down on purpose.
    RemovalRequested {
        /// The reason given.
        reason: String,
    },
    /// Another stage of the pipeline failed.
    StageFailed {
        /// Which stage.
        stage: StageId,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstancesFailed { failed, replicas, reason } => {
                write!(f, "{failed} of {replicas} new instances failed: {reason}")
            }
            Self::GateFailed { gate, reason } => write!(f, "gate {gate} failed: {reason}"),
            Self::GateTimedOut { gate, reason } => write!(f, "gate {gate} held for too long: {reason}"),
            Self::NoProgress { waiting_for } => write!(f, "no progress: {waiting_for}"),
            Self::CommandFailed { reason } => write!(f, "a command was refused: {reason}"),
            Self::AbortRequested { reason } => write!(f, "aborted by request: {reason}"),
            Self::RemovalRequested { reason } => write!(f, "removed by request: {reason}"),
            Self::StageFailed { stage, reason } => write!(f, "stage {stage} failed: {reason}"),
        }
    }
}

/// The stretches of road that the built-in strategies share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Resolve and pull the release; nothing has been touched.
    Preparing,
    /// Bring up new instances.
    Provisioning,
    /// Move traffic.
    Shifting,
    /// Watch with the way back open: bake time, settle window, pause of a step.
    Baking,
    /// The new release is it: retire the old set. There is no way back from here.
    Retiring,
}

/// A moment that counts for one arrangement of the world only: with another `of` it is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timer {
    /// When it ends.
    pub until: Timestamp,
    /// A fingerprint of what it was set for.
    pub of: u64,
}

/// What a gate said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Pass {
        /// Why.
        reason: String,
    },
    /// Go back.
    Fail {
        /// Why.
        reason: String,
    },
    /// Not yet: it is working on it, or a person has to say so.
    Hold {
        /// What it waits for.
        reason: String,
    },
    /// It could not find out.
    Unknown {
        /// Why not.
        reason: String,
    },
}

impl Verdict {
    /// Pass or fail: what is journaled before anything relies on it.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Pass { .. } | Self::Fail { .. })
    }

    /// The reason given.
    pub fn reason(&self) -> &str {
        match self {
            Self::Pass { reason }
            | Self::Fail { reason }
            | Self::Hold { reason }
            | Self::Unknown { reason } => reason,
        }
    }
}

/// One gate at one point of this rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRecord {
    /// Which gate.
    pub gate: GateId,
    /// Where it was asked.
    pub at: AttachPoint,
    /// At which step or batch.
    pub step: u32,
    /// When it was first asked.
    pub since: Timestamp,
    /// Its definite verdict, once there is one.
    pub verdict: Option<Verdict>,
}

/// What a rollout remembers. Each change of it is one journal record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutState {
    /// Which way it goes.
    pub direction: Direction,
    /// How far it is.
    pub phase: Phase,
    /// Replicas wanted at the end.
    pub replicas: u32,
    /// Largest number of replicas that a request has asked for; 0 if there was none. A set that is kept whole may be
    /// that large although fewer are wanted now.
    #[serde(default)]
    pub largest: u32,
    /// The set to go back to.
    pub stable: Option<SetId>,
    /// The set of the new release.
    pub candidate: SetId,
    /// What the new release resolved to.
    pub artifact: Option<Artifact>,
    /// Index of the canary step; for rolling the number of new instances that the current batch ends with.
    pub step: u32,
    /// Largest number of new instances (backward: of old ones) seen in rotation; growth is progress.
    pub reached: u32,
    /// When lack of progress becomes a failure.
    pub progress_until: Timestamp,
    /// How long to wait for a switch that cannot be proven; `of` is the split.
    pub settle: Option<Timer>,
    /// How long requests may take to end; `of` is the split.
    pub drain: Option<Timer>,
    /// Bake time, settle window or pause of a step.
    pub bake_until: Option<Timestamp>,
    /// Weight of the candidate on a gradual way back, and when it may sink again.
    pub descent: Option<(u32, Timestamp)>,
    /// New instances that failed, each counted once.
    pub failed: Vec<InstanceId>,
    /// Gates that were asked.
    pub gates: Vec<GateRecord>,
    /// Since when a person has it paused.
    pub paused_since: Option<Timestamp>,
    /// A person allowed the step or batch with this index.
    pub promoted: Option<u32>,
    /// A person asked to skip all remaining steps, pauses and gates.
    pub promoted_fully: bool,
    /// Number of the last request that was taken in.
    pub last_request: u64,
    /// Number of the last request from outside that was taken in. Those that other processes post are numbered by who
    /// keeps them, so each is taken in once even if the process dies between the two.
    #[serde(default)]
    pub last_posted: u64,
    /// It goes back to nothing: the workload is taken down, and this is what its traffic gets. Otherwise what serves
    /// is never taken away without a successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vacate: Option<Vacate>,
    /// Private memory of a custom strategy, at most 16 KiB as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<serde_json::Value>,
}

impl RolloutState {
    /// The memory of a rollout that has not done anything.
    pub fn begin(plan: &super::Plan, now: Timestamp) -> Self {
        Self {
            direction: Direction::Forward,
            phase: Phase::Preparing,
            replicas: plan.replicas,
            largest: 0,
            stable: plan.stable_set.clone(),
            candidate: plan.candidate(),
            artifact: None,
            step: 0,
            reached: 0,
            progress_until: now.after(plan.settings.progress_deadline),
            settle: None,
            drain: None,
            bake_until: None,
            descent: None,
            failed: Vec::new(),
            gates: Vec::new(),
            paused_since: None,
            promoted: None,
            promoted_fully: false,
            last_request: 0,
            last_posted: 0,
            vacate: None,
            memory: None,
        }
    }

    /// The memory of a rollout that succeeded, turned round: what it put live is taken back. Where nothing served before
    /// it, nothing serves after it, if the router has an answer for that.
    #[must_use]
    pub fn undo(&self, plan: &super::Plan, cause: Cause, now: Timestamp) -> Self {
        let can_vacate = plan.router.as_ref().is_none_or(|router| router.maintenance);
        let vacate = (plan.stable_set.is_none() && can_vacate).then(Vacate::default);
        Self {
            direction: Direction::Backward { cause },
            phase: Phase::Provisioning,
            replicas: self.replicas,
            artifact: self.artifact.clone(),
            last_request: self.last_request,
            last_posted: self.last_posted,
            vacate,
            ..Self::begin(plan, now)
        }
    }

    /// The memory of a removal: a way back that leads to nothing. `artifact` is what runs.
    #[must_use]
    pub fn removal(
        plan: &super::Plan,
        artifact: Artifact,
        vacate: Vacate,
        reason: String,
        now: Timestamp,
    ) -> Self {
        Self {
            direction: Direction::Backward { cause: Cause::RemovalRequested { reason } },
            phase: Phase::Provisioning,
            artifact: Some(artifact),
            vacate: Some(vacate),
            ..Self::begin(plan, now)
        }
    }

    /// Whether it takes a workload down on purpose.
    pub fn is_removal(&self) -> bool {
        matches!(&self.direction, Direction::Backward { cause: Cause::RemovalRequested { .. } })
    }

    /// The same memory in the hands of another process: the time in which nobody drove it is not lack of progress.
    #[must_use]
    pub fn resumed(mut self, plan: &super::Plan, now: Timestamp) -> Self {
        self.progress_until = self.progress_until.max(now.after(plan.settings.progress_deadline));
        self
    }

    /// Whether it goes forward.
    pub fn is_forward(&self) -> bool {
        self.direction == Direction::Forward
    }
}
