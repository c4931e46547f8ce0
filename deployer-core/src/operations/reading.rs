//! Reading the journals of a workload, newest first, so that one that cannot be read hides no other.

use crate::{
    engine::{Recovery, recover},
    event::Event,
    model::{DeploymentId, WorkloadId},
    ports::Journal,
};

use super::{OperationError, Unreadable};

/// One journal that could be read.
#[derive(Debug)]
pub(super) struct Journaled {
    pub(super) recovery: Recovery,
    pub(super) events: Vec<Event>,
}

/// The deployments of a workload, newest first.
pub(super) async fn list(
    journal: &dyn Journal,
    workload: &WorkloadId,
) -> Result<Vec<DeploymentId>, OperationError> {
    let listed = journal.list(workload).await;
    let mut found =
        listed.map_err(|source| OperationError::Journal { workload: workload.clone(), source })?;
    found.reverse();
    Ok(found)
}

/// One of them.
pub(super) async fn read(journal: &dyn Journal, deployment: &DeploymentId) -> Result<Journaled, Unreadable> {
    let unreadable = |why: String| Unreadable { deployment: deployment.clone(), why };
    let events = journal.load(deployment).await.map_err(|error| unreadable(crate::error::report(&error)))?;
    let recovery = recover(&events).map_err(unreadable)?;
    Ok(Journaled { recovery, events })
}
