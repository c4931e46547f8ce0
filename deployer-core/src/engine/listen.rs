//! Listening to other processes.

use std::convert::Infallible;

use super::{
    Control,
    call::{Limited, limited},
    parts::Tools,
};
use crate::model::{DeploymentId, WorkloadId};

/// Takes over what other processes ask of a deployment, for as long as it is polled. `last` is the number of the last
/// request that the journal has. The store is looked at at intervals: a file has no way to call.
pub(super) async fn listen(
    tools: &Tools,
    control: &Control,
    (home, deployment): (&WorkloadId, &DeploymentId),
    last: u64,
) -> Infallible {
    let Some(store) = &tools.requests else { return std::future::pending().await };
    let mut last = last.max(control.last_taken_over(deployment));
    let mut fails = false;
    loop {
        let call = store.since(home, deployment, last);
        let why = match limited(&*tools.clock, tools.engine.call_deadline, call).await {
            Limited::Done(Ok(found)) => {
                for request in found {
                    last = last.max(request.posted.number);
                    control.take_over(deployment, request.kind, request.posted);
                }
                None
            }
            Limited::Done(Err(error)) => Some(crate::error::report(&error)),
            Limited::TimedOut => Some("no answer".to_owned()),
            Limited::Panicked => Some("it panicked".to_owned()),
        };
        if let Some(why) = &why
            && !fails
        {
            tracing::warn!(%deployment, why, "requests of other processes cannot be read at the moment");
        }
        fails = why.is_some();
        tools.clock.sleep(tools.engine.request_look).await;
    }
}
