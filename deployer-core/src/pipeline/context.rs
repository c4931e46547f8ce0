//! What a stage is given when it runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::StageError;
use crate::{
    model::{DeploymentId, Epoch, StageId, WorkloadId},
    ports::{CallContext, Clock},
};

/// What a stage is given when it, or its undo, runs. It is owned and cheap to clone.
#[derive(Debug, Clone)]
pub struct StageContext(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) deployment: DeploymentId,
    pub(crate) stage: StageId,
    pub(crate) workloads: Vec<WorkloadId>,
    pub(crate) epoch: Epoch,
    pub(crate) call_deadline: Duration,
    pub(crate) outputs: BTreeMap<StageId, Value>,
    pub(crate) resumed: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) notes: mpsc::UnboundedSender<String>,
}

impl StageContext {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Which deployment.
    pub fn deployment(&self) -> &DeploymentId {
        &self.0.deployment
    }

    /// Which stage.
    pub fn stage(&self) -> &StageId {
        &self.0.stage
    }

    /// The workloads of the deployment, sorted.
    pub fn workloads(&self) -> &[WorkloadId] {
        &self.0.workloads
    }

    /// A name for what this stage makes: the same in each run of the same deployment, another in every other deployment.
    /// What is made under it twice is made once.
    pub fn key(&self) -> String {
        format!("{}.{}", self.0.deployment, self.0.stage)
    }

    /// Whether an earlier process may have begun this already.
    pub fn is_resumed(&self) -> bool {
        self.0.resumed
    }

    /// What an earlier stage gave, or this one to its undo.
    ///
    /// # Errors
    /// There is no such stage, it has given nothing yet, or it gave something else.
    pub fn output<T: DeserializeOwned>(&self, stage: &str) -> Result<T, StageError> {
        let found = self.0.outputs.iter().find(|(id, _)| id.as_str() == stage);
        let (_, output) = found.ok_or_else(|| {
            StageError::new(format!("stage {stage} has given nothing; name a stage that succeeded before"))
        })?;
        T::deserialize(output).map_err(|error| StageError::from(error).context(format!("output of {stage}")))
    }

    /// What travels with a call to a port on behalf of this stage. `workload` is the first of the deployment unless
    /// another is given to the port by the caller.
    pub fn call_context(&self, workload: &WorkloadId) -> CallContext {
        CallContext {
            workload: workload.clone(),
            deployment: self.0.deployment.clone(),
            epoch: self.0.epoch,
            deadline: self.0.call_deadline,
        }
    }

    /// Tells listeners of progress. It is not kept.
    pub fn note(&self, message: impl Into<String>) {
        // Nobody listens any more once the run is over.
        let _ = self.0.notes.send(message.into());
    }

    /// What time it is.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Whether a person has asked that the deployment be aborted or interrupted. A stage that takes long looks at it
    /// and ends with an error; one that does not is waited for.
    pub fn is_asked_to_stop(&self) -> bool {
        *self.0.stop.borrow()
    }

    /// Returns when [`is_asked_to_stop`](Self::is_asked_to_stop) becomes true.
    ///
    /// # Cancel safety
    /// Can be dropped at any time.
    pub async fn asked_to_stop(&self) {
        let mut stop = self.0.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
