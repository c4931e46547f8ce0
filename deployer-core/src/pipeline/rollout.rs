//! The stage that puts a release live.

use tracing::Instrument as _;

use crate::{
    engine::{Next, Session, Stop},
    event::{EventKind, StageOutline},
    model::StageId,
    strategy::Outcome,
};

/// Its name.
const ROLLOUT: &str = "rollout";

fn stage() -> StageId {
    StageId::new(ROLLOUT).expect("a short word of letters is a name")
}

/// All stages, as the first event lists them.
pub(crate) fn outline() -> Vec<StageOutline> {
    vec![StageOutline { id: stage(), undo: "goes back to the old set by itself".to_owned() }]
}

/// Runs the stage from where it stands to its end record.
pub(crate) async fn run_rollout(session: &mut Session<'_>, next: Next) -> Result<Outcome, Stop> {
    let span = tracing::info_span!("stage", stage = ROLLOUT);
    session.recorder.enter(stage());
    let outcome = inside(session, next).instrument(span).await;
    session.recorder.leave();
    outcome
}

async fn inside(session: &mut Session<'_>, mut next: Next) -> Result<Outcome, Stop> {
    loop {
        next = match next {
            Next::StartStage => {
                session.recorder.record(EventKind::StageStarted).await?;
                Next::StartRollout
            }
            Next::StartRollout => start(session).await?,
            Next::GoOn(rollout) => {
                let outcome = session.driver(*rollout).run().await?;
                session.recorder.record(EventKind::RolloutFinished { outcome: outcome.clone() }).await?;
                Next::EndStage(outcome)
            }
            Next::EndStage(outcome) => {
                session.recorder.record(end_record(&outcome)).await?;
                Next::EndDeployment(outcome)
            }
            Next::EndDeployment(outcome) | Next::Nothing(outcome) => return Ok(outcome),
        };
    }
}

async fn start(session: &mut Session<'_>) -> Result<Next, Stop> {
    let rollout = match session.start().await {
        Ok(start) => start.rollout,
        Err(problems) => {
            let problems = problems.iter().map(ToString::to_string).collect();
            return Ok(Next::EndDeployment(Outcome::Refused { problems }));
        }
    };
    let started = EventKind::RolloutStarted {
        plan: Box::new(rollout.plan.clone()),
        strategy: session.strategy(),
        state: Box::new(rollout.state.clone()),
    };
    session.recorder.record(started).await?;
    Ok(Next::GoOn(Box::new(rollout)))
}

fn end_record(outcome: &Outcome) -> EventKind {
    match outcome {
        Outcome::Succeeded => EventKind::StageSucceeded,
        other => EventKind::StageFailed { message: crate::event::OutcomeText(other).to_string() },
    }
}
