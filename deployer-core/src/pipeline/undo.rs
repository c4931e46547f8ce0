//! Undoing a stage of its author's making.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;

use super::{
    attend::attend,
    stage::{Stage, UndoWork},
};
use crate::{
    engine::{Session, Stop, doubled},
    event::EventKind,
};

/// Undoes the stage, to its end record. A failing undo is tried as often as any call to a backend.
pub(super) async fn undo_custom(session: &mut Session<'_>, custom: &Stage) -> Result<(), Stop> {
    let UndoWork::Action(undo) = &custom.undo else {
        session.recorder.record(EventKind::UndoFinished).await?;
        return Ok(());
    };
    let (tools, id) = (&session.parts.tools, custom.id.clone());
    let id = id.expect("a pipeline is built only of stages that have names");
    let policy = &tools.engine.retry;
    let mut attempt = 1;
    loop {
        let undo = Arc::clone(undo);
        let work = |context| async move { undo.run(context).await }.boxed();
        let Err(error) = attend(session, &id, (custom.deadline, true), true, work).await? else {
            session.recorder.record(EventKind::UndoFinished).await?;
            return Ok(());
        };
        if attempt >= policy.attempts {
            session.recorder.record(EventKind::UndoFailed { message: error.to_string() }).await?;
            return Ok(());
        }
        attempt += 1;
        let command = format!("undo {id}");
        session.recorder.progress(EventKind::Retrying { command, attempt, error: error.to_string() });
        pause(session, doubled(policy.first_wait, attempt - 2, policy.longest_wait)).await?;
    }
}

async fn pause(session: &Session<'_>, time: Duration) -> Result<(), Stop> {
    session.parts.tools.clock.sleep(time).await;
    match session.control.take_interrupt() {
        Some(why) => Err(Stop::Asked(why)),
        None => Ok(()),
    }
}
