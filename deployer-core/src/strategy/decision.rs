//! What a step can say.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cause, RolloutState};
use crate::model::{GateId, ReleaseId, SetId, SetSpec, Split, Timestamp};

/// One thing to do to the world. Idempotent: doing it twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Resolve and pull a release.
    Prepare(ReleaseId),
    /// Give a set a size.
    Apply(SetSpec),
    /// Give the workload's traffic to others.
    Shift(Split),
    /// Remove a set and all that belongs to it.
    Remove(SetId),
    /// Ask a gate.
    Evaluate(GateId),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare(release) => write!(f, "prepare release {release}"),
            Self::Apply(spec) if spec.remove_first.is_empty() => {
                write!(f, "set {} to {} instances", spec.set, spec.replicas)
            }
            Self::Apply(spec) => {
                write!(f, "set {} to {} instances, first without", spec.set, spec.replicas)?;
                spec.remove_first.iter().try_for_each(|id| write!(f, " {id}"))
            }
            Self::Shift(Split::Maintenance(_)) => f.write_str("answer with the maintenance page"),
            Self::Shift(split) => {
                f.write_str("send traffic to")?;
                for share in split.shares() {
                    write!(f, " {} (weight {}, {} instances)", share.set, share.weight, share.members.len())?;
                }
                Ok(())
            }
            Self::Remove(set) => write!(f, "remove set {set}"),
            Self::Evaluate(gate) => write!(f, "ask gate {gate}"),
        }
    }
}

/// Why a rollout waits, as a value: what for, and so what would unblock it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitReason {
    /// The release is being pulled and resolved.
    Preparing,
    /// Instances are not verified yet.
    Verifying {
        /// Whose.
        set: SetId,
        /// How many are.
        verified: u32,
        /// How many must be.
        wanted: u32,
    },
    /// The data plane has not confirmed the switch.
    SwitchUnproven,
    /// The router cannot prove a switch; a fixed time passes instead.
    Settling,
    /// Requests are still being answered by instances that leave.
    Draining {
        /// How many requests, where the router can count them.
        in_flight: Option<u32>,
    },
    /// Instances have been told to stop and still exist.
    Stopping {
        /// How many.
        instances: u32,
    },
    /// The new release is watched for a while.
    Baking,
    /// The pause between two steps or batches.
    BetweenSteps,
    /// A gate has not decided.
    Gate {
        /// Which gate.
        gate: GateId,
        /// What it says.
        reason: String,
    },
    /// The target could not be looked at.
    TargetUnknown {
        /// Why not.
        why: String,
    },
    /// The router could not be asked.
    RouterUnknown {
        /// Why not.
        why: String,
    },
    /// The budget leaves no room until something stops or becomes available.
    NoRoom {
        /// What would make room.
        why: String,
    },
    /// What a custom strategy says.
    Other {
        /// In its words.
        why: String,
    },
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preparing => f.write_str("the release is being prepared"),
            Self::Verifying { set, verified, wanted } => {
                write!(f, "{verified} of {wanted} instances of {set} are verified")
            }
            Self::SwitchUnproven => f.write_str("the data plane has not confirmed the switch"),
            Self::Settling => f.write_str("the router cannot prove the switch; waiting for the settle time"),
            Self::Draining { in_flight: Some(n) } => {
                write!(f, "{n} requests are still being answered by leaving instances")
            }
            Self::Draining { in_flight: None } => {
                f.write_str("leaving instances may still be answering requests")
            }
            Self::Stopping { instances } => write!(f, "{instances} instances are stopping"),
            Self::Baking => f.write_str("the new release is watched until its bake time ends"),
            Self::BetweenSteps => f.write_str("the pause before the next step"),
            Self::Gate { gate, reason } => write!(f, "gate {gate} has not decided: {reason}"),
            Self::TargetUnknown { why } => write!(f, "the target could not be looked at: {why}"),
            Self::RouterUnknown { why } => write!(f, "the router could not be asked: {why}"),
            Self::NoRoom { why } => write!(f, "the budget leaves no room: {why}"),
            Self::Other { why } => f.write_str(why),
        }
    }
}

/// Why a rollout waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PauseReason {
    /// A person paused it; resume goes on.
    Requested,
    /// This step waits to be promoted.
    AwaitingPromotion {
        /// Index of the step.
        step: u32,
    },
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("paused by request; resume to go on"),
            Self::AwaitingPromotion { step } => write!(f, "step {step} waits for a person; promote to go on"),
        }
    }
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The new release is live, alone and whole.
    Succeeded,
    /// The old release is live, alone and whole.
    RolledBack {
        /// Why.
        cause: Cause,
    },
    /// A person ended it and the old release is live again.
    Aborted {
        /// The reason given.
        reason: String,
    },
    /// A newer deployment of the workload took over; the world is as it was left.
    Superseded {
        /// Who took over.
        by: String,
    },
    /// It can go neither on nor back without a person.
    Stuck {
        /// Why.
        why: String,
        /// What is left behind.
        left: Vec<String>,
    },
    /// Nothing was touched: the release cannot be prepared or the world does not fit.
    Refused {
        /// All problems.
        problems: Vec<String>,
    },
}

/// What to do next. A decision changes memory or the world, never both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decision {
    /// Do these things, in any order; each is safe without the others.
    Act {
        /// What to do.
        commands: Vec<Command>,
        /// Why, in words.
        why: std::borrow::Cow<'static, str>,
    },
    /// Remember this.
    Advance {
        /// The whole new memory.
        state: Box<RolloutState>,
        /// Why, in words.
        why: std::borrow::Cow<'static, str>,
    },
    /// Nothing to do until something happens or `until`.
    Wait {
        /// What for.
        why: WaitReason,
        /// Look again then at the latest.
        until: Timestamp,
    },
    /// Nothing to do until a person says so.
    Pause {
        /// What for.
        why: PauseReason,
    },
    /// The end.
    Finish(Outcome),
}
