//! The stage that puts a release live, and takes it back if a later stage fails.

use super::progress::{Rollout, RolloutRun, StagePhase};
use crate::{
    engine::{RolloutParts, Session, Stop},
    error::Problem,
    event::{EventKind, OutcomeText},
    strategy::{Cause, Outcome},
};

/// Runs the stage from where it stands to its end record. Returns an outcome if everything ends here.
pub(super) async fn run_rollout<'a>(
    session: &mut Session<'a>,
    stage: usize,
    parts: &'a RolloutParts,
) -> Result<Option<Outcome>, Stop> {
    let progress = &session.recorder.progress_so_far().stages[stage];
    if progress.phase == StagePhase::Waiting {
        session.recorder.record(EventKind::StageStarted).await?;
    }
    let run = session.recorder.progress_so_far().stages[stage].forward.clone();
    let (rollout, outcome) = match run {
        Some(RolloutRun { rollout, outcome }) => (rollout, outcome),
        None => match session.start(stage, parts).await {
            Ok(start) => (begin(session, parts, start.rollout).await?, None),
            Err(problems) => return refuse(session, stage, &problems).await,
        },
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => drive(session, parts, rollout).await?,
    };
    let end = match &outcome {
        Outcome::Succeeded => EventKind::StageSucceeded { output: serde_json::Value::Null },
        other => EventKind::StageFailed { message: OutcomeText(other).to_string() },
    };
    session.recorder.record(end).await?;
    Ok(None)
}

/// Takes back what the stage put live: the same way back that a failing rollout goes.
pub(super) async fn undo_rollout<'a>(
    session: &mut Session<'a>,
    stage: usize,
    parts: &'a RolloutParts,
) -> Result<Option<Outcome>, Stop> {
    let progress = session.recorder.progress_so_far();
    let unknown = || Cause::AbortRequested { reason: "it was undone".to_owned() };
    let cause = progress.cause().unwrap_or_else(unknown);
    let (forward, backward) =
        (progress.stages[stage].forward.clone(), progress.stages[stage].backward.clone());
    let (rollout, outcome) = match (backward, forward) {
        (Some(RolloutRun { rollout, outcome }), _) => (rollout, outcome),
        (None, Some(RolloutRun { rollout: Rollout { plan, state }, .. })) => {
            let turned = state.undo(&plan, cause, parts.tools.clock.now());
            (begin(session, parts, Rollout { plan, state: turned }).await?, None)
        }
        (None, None) => {
            session.recorder.record(EventKind::UndoFinished).await?;
            return Ok(None);
        }
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => drive(session, parts, rollout).await?,
    };
    let end = match &outcome {
        Outcome::RolledBack { .. } | Outcome::Aborted { .. } => EventKind::UndoFinished,
        Outcome::Superseded { .. } => return Ok(Some(outcome)),
        other => EventKind::UndoFailed { message: OutcomeText(other).to_string() },
    };
    session.recorder.record(end).await?;
    Ok(None)
}

async fn begin(
    session: &mut Session<'_>,
    parts: &RolloutParts,
    mut rollout: Rollout,
) -> Result<Rollout, Stop> {
    let progress = session.recorder.progress_so_far();
    let state = &mut rollout.state;
    state.last_request = state.last_request.max(progress.last_request);
    state.last_posted = state.last_posted.max(progress.last_posted);
    let started = EventKind::RolloutStarted {
        plan: Box::new(rollout.plan.clone()),
        strategy: parts.strategy.name().to_owned(),
        state: Box::new(rollout.state.clone()),
    };
    session.recorder.record(started).await?;
    Ok(rollout)
}

async fn drive<'a>(
    session: &mut Session<'a>,
    parts: &'a RolloutParts,
    rollout: Rollout,
) -> Result<Outcome, Stop> {
    let outcome = session.driver(parts, rollout).run().await?;
    session.recorder.record(EventKind::RolloutFinished { outcome: outcome.clone() }).await?;
    Ok(outcome)
}

/// The world does not fit. Nothing of this stage was touched; if it is the first, nothing at all.
async fn refuse(
    session: &mut Session<'_>,
    stage: usize,
    problems: &[Problem],
) -> Result<Option<Outcome>, Stop> {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if stage == 0 {
        return Ok(Some(Outcome::Refused { problems }));
    }
    let message = OutcomeText(&Outcome::Refused { problems }).to_string();
    session.recorder.record(EventKind::StageFailed { message }).await?;
    Ok(None)
}
