//! A stage of its author's making.

use std::sync::Arc;

use futures::FutureExt as _;
use serde_json::Value;

use super::{
    attend::attend,
    next::stuck,
    progress::StagePhase,
    run::take_in_requests,
    stage::{AfterCrash, Stage},
};
use crate::{
    engine::{Session, Stop},
    event::EventKind,
    strategy::Outcome,
};

/// The most that a stage may give to later ones, in bytes of JSON.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// Runs the stage from where it stands to its end record. Returns an outcome if everything ends here.
pub(super) async fn run_custom(
    session: &mut Session<'_>,
    stage: usize,
    custom: &Stage,
) -> Result<Option<Outcome>, Stop> {
    let begun = session.recorder.progress_so_far().stages[stage].phase == StagePhase::Running;
    if !begun {
        session.recorder.record(EventKind::StageStarted).await?;
    } else if let Some(ended) = after_crash(session, stage, custom).await? {
        return Ok(ended);
    }
    let id = session.parts.stages[stage].id.clone();
    let run = Arc::clone(&custom.run);
    let limits = (custom.deadline, !matches!(custom.after_crash, AfterCrash::AskPerson));
    let work = |context| async move { run.run(context).await }.boxed();
    let done = attend(session, &id, limits, begun, work).await?;
    let message = match done {
        Ok(output) if size(&output) <= OUTPUT_LIMIT => {
            session.recorder.record(EventKind::StageSucceeded { output }).await?;
            return Ok(None);
        }
        Ok(_) => format!("it gives more than {OUTPUT_LIMIT} bytes to later stages; give them a reference"),
        Err(error) => error.to_string(),
    };
    // If it failed because a person asked it to end, that is why it goes back.
    if let Some(outcome) = take_in_requests(session).await? {
        return Ok(Some(outcome));
    }
    session.recorder.record(EventKind::StageFailed { message }).await?;
    Ok(None)
}

/// An earlier process began the stage, and it is not known how far it came. Returns `None` if it has to run again, else
/// what that means for everything.
async fn after_crash(
    session: &mut Session<'_>,
    stage: usize,
    custom: &Stage,
) -> Result<Option<Option<Outcome>>, Stop> {
    let id = session.parts.stages[stage].id.clone();
    let why = match &custom.after_crash {
        AfterCrash::Repeat => return Ok(None),
        AfterCrash::AskPerson => "the process ended in the middle of it".to_owned(),
        AfterCrash::Check(check) => {
            let check = Arc::clone(check);
            let work = |context| async move { check.check(context).await }.boxed();
            match attend(session, &id, (custom.deadline, true), true, work).await? {
                Ok(None) => return Ok(None),
                Ok(Some(output)) => {
                    session.recorder.record(EventKind::StageSucceeded { output }).await?;
                    return Ok(Some(None));
                }
                Err(error) => format!("it could not be found out whether it was done: {error}"),
            }
        }
    };
    let why = format!("stage {id}: {why}; look at it, then retry, skip or abandon");
    Ok(Some(Some(stuck(session.recorder.progress_so_far(), why))))
}

fn size(output: &Value) -> usize {
    serde_json::to_vec(output).map_or(usize::MAX, |bytes| bytes.len())
}
