//! Wrapped journals.

use std::io;

use async_trait::async_trait;
use deployer_core::{
    event::Event,
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Journal, JournalError},
};

use super::{PortCall, PortKind::Journal as Kind, Wrapped, wrapped::Way};

type Result<T> = std::result::Result<T, JournalError>;

#[async_trait]
impl Journal for Wrapped<dyn Journal> {
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> Result<()> {
        let (call, way) = self.begin(Kind, "create", kind_of(first)).await;
        refuse(&call, &way)?;
        let answer = self.inner.create(workloads, first).await;
        self.answer(&call, answer).await
    }

    async fn append(&self, event: &Event) -> Result<()> {
        let (call, way) = self.begin(Kind, "append", kind_of(event)).await;
        refuse(&call, &way)?;
        let answer = self.inner.append(event).await;
        self.answer(&call, answer).await
    }

    async fn load(&self, deployment: &DeploymentId) -> Result<Vec<Event>> {
        let (call, way) = self.begin(Kind, "load", deployment.to_string()).await;
        refuse(&call, &way)?;
        let answer = self.inner.load(deployment).await;
        self.answer(&call, answer).await
    }

    async fn list(&self, workload: &WorkloadId) -> Result<Vec<DeploymentId>> {
        let (call, way) = self.begin(Kind, "list", workload.to_string()).await;
        refuse(&call, &way)?;
        let answer = self.inner.list(workload).await;
        self.answer(&call, answer).await
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> Result<Epoch> {
        let (call, way) = self.begin(Kind, "last_epoch", workload.to_string()).await;
        refuse(&call, &way)?;
        let answer = self.inner.last_epoch(workload).await;
        self.answer(&call, answer).await
    }
}

impl Wrapped<dyn Journal> {
    async fn answer<T>(&self, call: &PortCall, answer: Result<T>) -> Result<T> {
        if self.end(call).await { answer } else { Err(failed(call, "the answer was made to be lost")) }
    }
}

fn refuse(call: &PortCall, way: &Way) -> Result<()> {
    match way {
        Way::Fail(_) => Err(failed(call, "made to fail, nothing was done")),
        Way::Once | Way::Twice => Ok(()),
    }
}

fn failed(call: &PortCall, why: &'static str) -> JournalError {
    JournalError::Io {
        operation: "an injected fault",
        place: call.to_string(),
        source: io::Error::other(why),
    }
}

/// The kind of a record as it stands in the journal: `advanced`, `intent` and so on.
fn kind_of(event: &Event) -> String {
    let value = serde_json::to_value(&event.kind).unwrap_or_default();
    value["kind"].as_str().unwrap_or("unknown").to_owned()
}
