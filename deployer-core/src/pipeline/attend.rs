//! Attending to work while it runs: its notes, its deadline, the lock, people.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{mpsc, watch};

use super::{StageContext, StageError, context::Inner};
use crate::{
    engine::{Session, Stop},
    model::StageId,
    strategy::RequestKind,
};

/// Runs work to its end and returns what came of it. It is dropped only at its deadline, if the lock is lost, or if the
/// run is interrupted and `may_crash` says that a crash does no harm. A panic is a failure.
pub(super) async fn attend<T>(
    session: &Session<'_>,
    stage: &StageId,
    (deadline, may_crash): (Duration, bool),
    resumed: bool,
    work: impl FnOnce(StageContext) -> BoxFuture<'static, Result<T, StageError>>,
) -> Result<Result<T, StageError>, Stop> {
    let (stop, stopped) = watch::channel(false);
    let (notes, mut heard) = mpsc::unbounded_channel();
    let context = context(session, stage, resumed, stopped, notes);
    let mut work = std::pin::pin!(AssertUnwindSafe(async move { work(context).await }).catch_unwind());
    let tools = &session.parts.tools;
    let late = tools.clock.now().after(deadline);
    let mut renewed_at = tools.clock.now();
    loop {
        if asks_to_stop(session, may_crash)? {
            stop.send_replace(true);
        }
        let now = tools.clock.now();
        let renew = renewed_at.after(tools.engine.renew_lock).since(now);
        tokio::select! {
            biased;
            Some(note) = heard.recv() => session.recorder.note(note),
            done = &mut work => {
                while let Ok(note) = heard.try_recv() {
                    session.recorder.note(note);
                }
                return Ok(done.unwrap_or_else(|panic| Err(StageError::new(panic_text(&*panic)))));
            }
            () = session.control.changed() => {}
            () = tools.clock.sleep(late.since(now)) => {
                let why = format!("it did not end within {deadline:?}; raise its deadline, or find out what it waits for");
                return Ok(Err(StageError::new(why)));
            }
            () = tools.clock.sleep(renew) => {
                renewed_at = tools.clock.now();
                session.renew().await?;
            }
        }
    }
}

/// Whether the work is to be told that it should end. An interruption of work that may crash ends the run right here.
fn asks_to_stop(session: &Session<'_>, may_crash: bool) -> Result<bool, Stop> {
    if may_crash && let Some(why) = session.control.take_interrupt() {
        return Err(Stop::Asked(why));
    }
    let last_request = session.recorder.progress_so_far().last_request;
    session.control.begin(&session.deployment, last_request);
    let aborts =
        |kind: &RequestKind| matches!(kind, RequestKind::Abort { .. } | RequestKind::Supersede { .. });
    let aborted = session.control.since(last_request).iter().any(|request| aborts(&request.kind));
    Ok(aborted || session.control.is_interrupted())
}

fn context(
    session: &Session<'_>,
    stage: &StageId,
    resumed: bool,
    stop: watch::Receiver<bool>,
    notes: mpsc::UnboundedSender<String>,
) -> StageContext {
    StageContext::new(Inner {
        deployment: session.deployment.clone(),
        stage: stage.clone(),
        workloads: session.parts.workloads.clone(),
        epoch: session.epoch,
        call_deadline: session.parts.tools.engine.call_deadline,
        outputs: session.recorder.progress_so_far().outputs(),
        resumed,
        clock: session.parts.tools.clock.clone(),
        stop,
        notes,
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "it panicked".to_owned(), |text| format!("it panicked: {text}"))
}
