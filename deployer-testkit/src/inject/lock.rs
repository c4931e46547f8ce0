//! Wrapped locks.

use std::io;

use async_trait::async_trait;
use deployer_core::{
    error::LockHolder,
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Lock, LockError, LockGrant},
};

use super::{PortCall, PortKind::Lock as Kind, Wrapped, wrapped::Way};

type Result<T> = std::result::Result<T, LockError>;

#[async_trait]
impl Lock for Wrapped<dyn Lock> {
    async fn acquire(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>> {
        let (call, way) = self.begin(Kind, "acquire", deployment.to_string()).await;
        refuse(&call, &way)?;
        let answer = self.inner.acquire(workloads, deployment).await;
        self.answer(&call, answer).await
    }

    async fn renew(&self, workloads: &[WorkloadId], epoch: Epoch) -> Result<()> {
        let (call, way) = self.begin(Kind, "renew", epoch.to_string()).await;
        refuse(&call, &way)?;
        let answer = self.inner.renew(workloads, epoch).await;
        self.answer(&call, answer).await
    }

    async fn holder(&self, workload: &WorkloadId) -> Result<Option<LockHolder>> {
        let (call, way) = self.begin(Kind, "holder", workload.to_string()).await;
        refuse(&call, &way)?;
        let answer = self.inner.holder(workload).await;
        self.answer(&call, answer).await
    }

    async fn take_over(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>> {
        let (call, way) = self.begin(Kind, "take_over", deployment.to_string()).await;
        refuse(&call, &way)?;
        let answer = self.inner.take_over(workloads, deployment).await;
        self.answer(&call, answer).await
    }
}

impl Wrapped<dyn Lock> {
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

fn failed(call: &PortCall, why: &'static str) -> LockError {
    LockError::Io { operation: "an injected fault", place: call.to_string(), source: io::Error::other(why) }
}
