//! How far a deployment is that has not ended.

use serde::{Deserialize, Serialize};

use super::{PastDeployment, reading::Journaled};
use crate::{
    event::{Event, EventKind},
    model::{ReleaseId, SetId, StageId, Timestamp},
    pipeline::{Next, StagePhase, next},
    ports::PostedRequest,
    strategy::{Direction, Phase, RequestKind, RolloutState},
};

/// A request that another process left for a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRequest {
    /// Its number.
    pub number: u64,
    /// Who asked.
    pub by: String,
    /// What for.
    pub kind: RequestKind,
    /// The deployment has taken it in.
    pub taken_in: bool,
}

/// A rollout that has not ended, or has a moment ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRollout {
    /// What it puts live, or takes back.
    pub release: ReleaseId,
    /// The set to go back to.
    pub stable: Option<SetId>,
    /// Name of the strategy.
    pub strategy: String,
    /// Replicas wanted at the end.
    pub replicas: u32,
    /// How far it is.
    pub phase: Phase,
    /// Which way it goes.
    pub direction: Direction,
    /// Step of a canary, or batch.
    pub step: u32,
    /// Since when a person has it paused.
    pub paused_since: Option<Timestamp>,
    /// What it waits for, where that can be told from the journal.
    pub waits_for: Option<String>,
    /// The last thing that it decided, in words.
    pub last_decision: Option<String>,
    /// The last thing that it did, in words.
    pub last_action: Option<String>,
}

/// The stage at which a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenStage {
    /// Its name.
    pub id: StageId,
    /// What it does, in words.
    pub what: String,
    /// Its number among the stages, from 1.
    pub number: usize,
    /// How many stages there are.
    pub of: usize,
    /// It is being undone.
    pub is_undo: bool,
    /// Whether it has begun.
    pub has_begun: bool,
    /// Its rollout, if it is one and has begun.
    pub rollout: Option<OpenRollout>,
}

/// A deployment that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDeployment {
    /// What it is, and who drove it.
    pub about: PastDeployment,
    /// The stage at which it is; `None` if only its last record is missing.
    pub stage: Option<OpenStage>,
    /// When something was last written down.
    pub since: Timestamp,
    /// A person has it paused between two stages.
    pub is_paused: bool,
    /// Why it was interrupted, if nobody went on with it since.
    pub interrupted: Option<String>,
    /// Whether a process drives it; `None` if no lock could be asked.
    pub is_driven: Option<bool>,
    /// What other processes asked of it.
    pub requests: Vec<OpenRequest>,
}

impl OpenDeployment {
    pub(super) fn of(journaled: &Journaled, requests: Vec<PostedRequest>, is_driven: Option<bool>) -> Self {
        let progress = &journaled.recovery.progress;
        let last_posted = progress.last_posted;
        let requests = requests.into_iter().map(|PostedRequest { posted, kind }| OpenRequest {
            number: posted.number,
            by: posted.by,
            kind,
            taken_in: posted.number <= last_posted,
        });
        let interrupted = journaled.events.iter().rev().find_map(|event| match &event.kind {
            EventKind::Interrupted { why } => Some(Some(why.clone())),
            EventKind::Resumed { .. } | EventKind::Resolved { .. } => Some(None),
            _ => None,
        });
        Self {
            about: PastDeployment::of(journaled),
            stage: stage(journaled),
            since: journaled.recovery.finished_at,
            is_paused: progress.paused,
            interrupted: interrupted.flatten(),
            is_driven,
            requests: requests.collect(),
        }
    }
}

fn stage(journaled: &Journaled) -> Option<OpenStage> {
    let progress = &journaled.recovery.progress;
    let (index, is_undo) = match next(progress) {
        Next::Stage(stage) => (stage, false),
        Next::Undo(stage) => (stage, true),
        Next::End(_) | Next::Nothing(_) => return None,
    };
    let known = &progress.stages[index];
    let run = if is_undo { known.backward.as_ref() } else { known.forward.as_ref() };
    let of_it = || journaled.events.iter().rev().filter(|event| event.path.last() == Some(&known.outline.id));
    let rollout = run.map(|run| {
        let crate::pipeline::Rollout { plan, state } = &run.rollout;
        OpenRollout {
            release: plan.release.id.clone(),
            stable: state.stable.clone(),
            strategy: of_it().find_map(strategy).unwrap_or_default(),
            replicas: state.replicas,
            phase: state.phase,
            direction: state.direction.clone(),
            step: state.step,
            paused_since: state.paused_since,
            waits_for: waits_for(state, of_it().next()),
            last_decision: of_it().find_map(decision),
            last_action: of_it().find_map(action),
        }
    });
    Some(OpenStage {
        id: known.outline.id.clone(),
        what: known.outline.what.clone(),
        number: index + 1,
        of: progress.stages.len(),
        is_undo,
        has_begun: if is_undo {
            known.phase == StagePhase::Undoing
        } else {
            known.phase != StagePhase::Waiting
        },
        rollout,
    })
}

fn strategy(event: &Event) -> Option<String> {
    match &event.kind {
        EventKind::RolloutStarted { strategy, .. } => Some(strategy.clone()),
        _ => None,
    }
}

fn decision(event: &Event) -> Option<String> {
    match &event.kind {
        EventKind::Advanced { why, .. } => Some(why.clone()),
        _ => None,
    }
}

fn action(event: &Event) -> Option<String> {
    match &event.kind {
        EventKind::Intent { commands, .. } => {
            Some(commands.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}

/// The clock of the progress deadline stands still while a person is waited for.
const STOPPED: Timestamp = Timestamp::from_millis(u64::MAX);

fn waits_for(state: &RolloutState, last: Option<&Event>) -> Option<String> {
    if state.paused_since.is_some() {
        return Some("a person: it is paused, resume to go on".to_owned());
    }
    if state.progress_until == STOPPED {
        return Some(format!("a person: promote step {} to go on", state.step));
    }
    if let Some(gate) = state.gates.iter().rev().find(|gate| gate.verdict.is_none()) {
        return Some(format!("gate {}, asked since {}", gate.gate, gate.since));
    }
    if let (Some(until), Phase::Baking) = (state.bake_until, state.phase) {
        return Some(format!("the time to watch the new release, until {until}"));
    }
    let did = last.and_then(action)?;
    Some(format!("the effect of what it did last: {did}"))
}
