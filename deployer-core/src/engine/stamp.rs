//! After a take-over: making backends refuse the owner that was replaced.

use super::{Recorder, call::within, parts::RolloutParts};
use crate::{
    model::{SetId, Split},
    ports::{CallContext, Result},
};

/// Shows the new epoch to target and router, so that a call of the old owner that is still on its way comes too late.
///
/// Nothing changes: a set that does not exist is removed, then the split in force is applied. The target comes first:
/// from then on nothing is stopped any more that an older split may still send requests to.
pub(super) async fn stamp(parts: &RolloutParts, context: &CallContext, recorder: &Recorder) {
    if parts.target.capabilities().fences
        && let Ok(nothing) = SetId::new(format!("taken-over-{}", context.epoch))
    {
        let removal = parts.target.remove(context, &nothing);
        note(
            recorder,
            within(&*parts.tools.clock, context.deadline, "show the new epoch to the target", removal).await,
        );
    }
    if let Some(router) = parts.router.as_ref().filter(|router| router.capabilities().fences) {
        let again = async {
            let split = router.current(context).await?.split;
            if split == Split::EMPTY { Ok(()) } else { router.apply(context, &split).await }
        };
        note(
            recorder,
            within(&*parts.tools.clock, context.deadline, "show the new epoch to the router", again).await,
        );
    }
}

/// The lock and the journal fence all the same; the backend does so with the first action.
fn note(recorder: &Recorder, stamped: Result<()>) {
    if let Err(error) = stamped {
        recorder.note(format!(
            "the owner that was replaced may still act until the next action: {}",
            error.report()
        ));
    }
}
