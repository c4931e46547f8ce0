//! Hints that it is worth looking again.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};

use super::{call::within, parts::RolloutParts};
use crate::{
    model::Timestamp,
    ports::{CallContext, Changes},
};

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// Something was asked.
    Control,
    /// The health of an instance changed.
    Health,
    /// A backend says that something changed.
    Hint,
    /// It was time.
    Time,
}

/// An ended or refused stream is not opened again before this much time has passed.
const REOPEN: Duration = Duration::from_secs(5);

/// The streams of hints of target and router.
#[derive(Default)]
pub(super) struct Hints {
    target: Option<Changes>,
    router: Option<Changes>,
    reopen_at: Timestamp,
}

impl std::fmt::Debug for Hints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = (self.target.is_some(), self.router.is_some());
        f.debug_struct("Hints").field("open", &open).finish_non_exhaustive()
    }
}

impl Hints {
    /// Opens the streams that are not open, unless that was tried a moment ago.
    pub(super) async fn open(&mut self, parts: &RolloutParts, context: &CallContext) {
        let now = parts.tools.clock.now();
        if now < self.reopen_at {
            return;
        }
        self.reopen_at = now.after(REOPEN.max(parts.tools.engine.active_look));
        let limit = parts.tools.engine.call_deadline;
        if self.target.is_none() {
            let call = parts.target.watch(context);
            self.target = within(&*parts.tools.clock, limit, "watch the target", call).await.ok();
        }
        if let (None, Some(router)) = (&self.router, &parts.router) {
            let call = router.watch(context);
            self.router = within(&*parts.tools.clock, limit, "watch the router", call).await.ok();
        }
    }

    /// Whether every backend would tell of a change.
    pub(super) fn are_live(&self, parts: &RolloutParts) -> bool {
        self.target.is_some() && (self.router.is_some() || parts.router.is_none())
    }

    /// Waits for a hint, and takes all others that are there too. Cancel safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            biased;
            () = one(&mut self.target) => (),
            () = one(&mut self.router) => (),
        }
        drain(&mut self.target);
        drain(&mut self.router);
    }
}

/// One hint; a stream that ended gives none, but is worth a look.
async fn one(stream: &mut Option<Changes>) {
    let Some(open) = stream else { return std::future::pending().await };
    if open.next().await.is_none() {
        *stream = None;
    }
}

fn drain(stream: &mut Option<Changes>) {
    const MOST: u32 = 10_000;
    for _ in 0..MOST {
        let Some(open) = stream else { return };
        match open.next().now_or_never() {
            None => return,
            Some(None) => *stream = None,
            Some(Some(())) => {}
        }
    }
}
