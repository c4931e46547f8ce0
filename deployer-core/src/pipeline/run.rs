//! Running a pipeline to its end.

use super::{
    custom::run_custom,
    next::{Next, next, pivot},
    progress::StagePhase,
    rollout::{run_rollout, undo_rollout},
    undo::undo_custom,
};
use crate::{
    engine::{Session, StageWork, Stop},
    event::EventKind,
    strategy::{Outcome, Request, RequestKind},
};

/// Runs what is left of a deployment, to its last event.
pub(crate) async fn run(session: &mut Session<'_>) -> Result<Outcome, Stop> {
    loop {
        if let Some(outcome) = take_in_requests(session).await? {
            return end(session, outcome).await;
        }
        let ended = match next(session.recorder.progress_so_far()) {
            Next::Nothing(outcome) => {
                session.control.end();
                return Ok(outcome);
            }
            Next::End(outcome) => Some(outcome),
            Next::Stage(stage) => run_stage(session, stage).await?,
            Next::Undo(stage) => undo_stage(session, stage).await?,
        };
        session.forget_looks();
        if let Some(outcome) = ended {
            return end(session, outcome).await;
        }
    }
}

async fn end(session: &mut Session<'_>, outcome: Outcome) -> Result<Outcome, Stop> {
    session.recorder.record(EventKind::DeploymentFinished { outcome: outcome.clone() }).await?;
    session.control.end();
    Ok(outcome)
}

/// Runs a stage to its end record. Returns an outcome if everything ends here.
async fn run_stage(session: &mut Session<'_>, stage: usize) -> Result<Option<Outcome>, Stop> {
    let parts = &session.parts.stages[stage];
    session.recorder.enter(parts.id.clone());
    let ended = match &parts.work {
        StageWork::Rollout(rollout) => run_rollout(session, stage, rollout).await,
        StageWork::Custom(custom) => run_custom(session, stage, custom).await,
    };
    session.recorder.leave();
    ended
}

async fn undo_stage(session: &mut Session<'_>, stage: usize) -> Result<Option<Outcome>, Stop> {
    let parts = &session.parts.stages[stage];
    session.recorder.enter(parts.id.clone());
    if session.recorder.progress_so_far().stages[stage].phase != StagePhase::Undoing {
        session.recorder.record(EventKind::UndoStarted).await?;
    }
    let ended = match &parts.work {
        StageWork::Rollout(rollout) => undo_rollout(session, stage, rollout).await,
        StageWork::Custom(custom) => undo_custom(session, custom).await.map(|()| None),
    };
    session.recorder.leave();
    ended
}

/// Takes in what is for the pipeline itself to take in: a rollout does it for itself. While a person has it paused it
/// waits here.
pub(super) async fn take_in_requests(session: &mut Session<'_>) -> Result<Option<Outcome>, Stop> {
    loop {
        if let Some(why) = session.control.take_interrupt() {
            return Err(Stop::Asked(why));
        }
        if is_for_a_rollout(session) {
            return Ok(None);
        }
        let progress = session.recorder.progress_so_far();
        session.control.begin(&session.deployment, progress.last_request);
        let Some(request) = session.control.since(progress.last_request).into_iter().next() else {
            let waits = progress.paused && matches!(next(progress), Next::Stage(_));
            if !waits {
                return Ok(None);
            }
            session.recorder.note("paused by request before the next stage; resume to go on");
            wait_for_a_person(session).await?;
            continue;
        };
        let goes_on = matches!(next(progress), Next::Stage(_));
        let is_late = matches!(request.kind, RequestKind::Abort { .. } | RequestKind::Pause)
            && (!goes_on || pivot(progress).is_some());
        let outcome = match &request.kind {
            RequestKind::Supersede { by } => Some(Outcome::Superseded { by: by.clone() }),
            _ => None,
        };
        let request = if is_late { late(session, request) } else { request };
        session.recorder.record(EventKind::Requested { request }).await?;
        if outcome.is_some() {
            return Ok(outcome);
        }
    }
}

/// A rollout takes in its own requests, in the order in which they came.
fn is_for_a_rollout(session: &Session<'_>) -> bool {
    let progress = session.recorder.progress_so_far();
    let stage = match next(progress) {
        Next::Stage(stage) | Next::Undo(stage) => stage,
        Next::End(_) | Next::Nothing(_) => return false,
    };
    !progress.paused && matches!(session.parts.stages[stage].work, StageWork::Rollout(_))
}

/// What comes too late is remembered as a wish to go on, which changes nothing.
fn late(session: &Session<'_>, request: Request) -> Request {
    session.recorder.note(format!("it is too late to {}: there is no way back from here", request.kind));
    Request { kind: RequestKind::Resume, ..request }
}

async fn wait_for_a_person(session: &Session<'_>) -> Result<(), Stop> {
    let tools = &session.parts.tools;
    tokio::select! {
        biased;
        () = session.control.changed() => Ok(()),
        () = tools.clock.sleep(tools.engine.renew_lock) => session.renew().await,
    }
}
