//! Where a deployment stands, as its journal says. Pure.

use crate::{
    event::{Event, EventKind},
    model::{Artifact, DeploymentId, Epoch, PinnedRelease, Timestamp, WorkloadId},
    strategy::{Outcome, Phase, Plan, RolloutState},
};

/// What a rollout was started with and what it remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollout {
    pub(crate) plan: Plan,
    pub(crate) state: RolloutState,
}

/// What has to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// The stage has not begun.
    StartStage,
    /// The rollout has not begun.
    StartRollout,
    /// The rollout goes on.
    GoOn(Box<Rollout>),
    /// The rollout ended, the stage did not.
    EndStage(Outcome),
    /// All stages ended, the deployment did not.
    EndDeployment(Outcome),
    /// Nothing: it ended.
    Nothing(Outcome),
}

/// Where a deployment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recovery {
    pub(crate) deployment: DeploymentId,
    pub(crate) workload: WorkloadId,
    pub(crate) plan_hash: String,
    pub(crate) started_at: Timestamp,
    /// The epoch of its last event.
    pub(crate) epoch: Epoch,
    /// What its release resolved to, if it was prepared.
    pub(crate) pinned: Option<PinnedRelease>,
    /// The new release was it, whatever came then: only old sets were left to be retired.
    pub(crate) is_final: bool,
    pub(crate) next: Next,
}

impl Recovery {
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.next, Next::Nothing(_))
    }

    /// Its release is the one to go back to.
    pub(crate) fn succeeded(&self) -> bool {
        self.is_final || self.next == Next::Nothing(Outcome::Succeeded)
    }
}

/// Reads where a deployment stands.
///
/// # Errors
/// Events that no deployment writes in this order.
pub(crate) fn plan(events: &[Event]) -> Result<Recovery, String> {
    let [first, rest @ ..] = events else { return Err("it has no events".to_owned()) };
    let EventKind::DeploymentStarted { workload, plan_hash, .. } = &first.kind else {
        return Err("its first event does not start a deployment".to_owned());
    };
    let mut next = Next::StartStage;
    let (mut pinned, mut is_final) = (None, false);
    for event in rest {
        if let Next::Nothing(_) = next {
            return Err(format!("event {} follows the last one", event.seq));
        }
        next = follow(next, &event.kind).map_err(|why| format!("event {}: {why}", event.seq))?;
        if let Next::GoOn(rollout) = &next {
            pinned = pin(rollout).or(pinned);
            is_final = rollout.state.is_forward() && rollout.state.phase == Phase::Retiring;
        }
    }
    Ok(Recovery {
        deployment: first.deployment.clone(),
        workload: workload.clone(),
        plan_hash: plan_hash.clone(),
        started_at: first.at,
        epoch: events.last().map_or(first.epoch, |event| event.epoch),
        pinned,
        is_final,
        next,
    })
}

fn pin(rollout: &Rollout) -> Option<PinnedRelease> {
    let artifact: Artifact = rollout.state.artifact.clone()?;
    Some(PinnedRelease { release: rollout.plan.release.clone(), artifact })
}

fn follow(next: Next, kind: &EventKind) -> Result<Next, &'static str> {
    match (next, kind) {
        (_, EventKind::DeploymentFinished { outcome }) => Ok(Next::Nothing(outcome.clone())),
        (Next::StartStage, EventKind::StageStarted) => Ok(Next::StartRollout),
        (Next::StartRollout, EventKind::RolloutStarted { plan, state, .. }) => {
            Ok(Next::GoOn(Box::new(Rollout { plan: (**plan).clone(), state: (**state).clone() })))
        }
        (Next::GoOn(rollout), EventKind::Advanced { state, .. }) => {
            Ok(Next::GoOn(Box::new(Rollout { state: (**state).clone(), ..*rollout })))
        }
        (Next::GoOn(_), EventKind::RolloutFinished { outcome }) => Ok(Next::EndStage(outcome.clone())),
        (Next::EndStage(outcome), EventKind::StageSucceeded | EventKind::StageFailed { .. }) => {
            Ok(Next::EndDeployment(outcome))
        }
        (Next::GoOn(rollout), EventKind::Intent { .. }) => Ok(Next::GoOn(rollout)),
        (next, EventKind::Resumed { .. } | EventKind::Interrupted { .. }) => Ok(next),
        _ => Err("it does not follow from those before"),
    }
}
