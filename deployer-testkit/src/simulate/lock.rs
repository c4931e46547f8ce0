//! The lock of all processes, and how one process sees it.

use std::sync::Arc;

use async_trait::async_trait;
use deployer_core::{
    error::LockHolder,
    lock::MemoryLock,
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Lock, LockError, LockGrant},
};

use super::witness::Witness;

/// The lock as one process sees it. A take-over stamps the new epoch on target and router, as the contract asks for.
#[derive(Debug)]
pub(super) struct WitnessLock {
    pub(super) witness: Arc<Witness>,
    pub(super) inner: MemoryLock,
}

impl WitnessLock {
    fn given(&self, workloads: &[WorkloadId], grant: &dyn LockGrant) {
        let epoch = grant.epoch();
        let mut record = self.witness.record.lock();
        let now = record.now();
        record.newest = record.newest.max((epoch, now));
        let process = self.witness.process;
        record.line(|| format!("process {process} has the lock with epoch {epoch}"));
        for workload in workloads {
            self.witness.world.stamp(workload, epoch);
        }
    }
}

#[async_trait]
impl Lock for WitnessLock {
    async fn acquire(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError> {
        let grant = self.inner.acquire(workloads, deployment).await?;
        self.given(workloads, &*grant);
        Ok(grant)
    }

    async fn renew(&self, workloads: &[WorkloadId], epoch: Epoch) -> Result<(), LockError> {
        self.inner.renew(workloads, epoch).await
    }

    async fn holder(&self, workload: &WorkloadId) -> Result<Option<LockHolder>, LockError> {
        self.inner.holder(workload).await
    }

    async fn take_over(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError> {
        let grant = self.inner.take_over(workloads, deployment).await?;
        self.given(workloads, &*grant);
        Ok(grant)
    }
}
