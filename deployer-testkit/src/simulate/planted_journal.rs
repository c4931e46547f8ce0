//! A journal that promises too much, or too little, and a lock that never lets go.

use async_trait::async_trait;
use deployer_core::{
    error::LockHolder,
    event::{Event, EventKind},
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Journal, JournalError, Lock, LockError, LockGrant},
    strategy::Direction,
};
use parking_lot::Mutex;

use super::{journal::WitnessJournal, lock::WitnessLock, planted::Planted};

/// A journal that does not keep what it promises.
#[derive(Debug)]
pub(super) struct BadJournal {
    inner: WitnessJournal,
    bug: Planted,
    /// What was said to be durable and is not.
    late: Mutex<Option<Event>>,
}

impl BadJournal {
    pub(super) fn new(inner: WitnessJournal, bug: Planted) -> Self {
        Self { inner, bug, late: Mutex::default() }
    }
}

#[async_trait]
impl Journal for BadJournal {
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> Result<(), JournalError> {
        self.inner.create(workloads, first).await
    }

    async fn append(&self, event: &Event) -> Result<(), JournalError> {
        let late = self.late.lock().take();
        if let Some(late) = late {
            self.inner.append(&late).await?;
        }
        if self.bug == Planted::IntentAfterEffect && matches!(event.kind, EventKind::Intent { .. }) {
            *self.late.lock() = Some(event.clone());
            return Ok(());
        }
        match self.inner.append(event).await {
            Err(JournalError::Fenced { .. } | JournalError::OutOfOrder { .. })
                if self.bug == Planted::FenceIgnored =>
            {
                Ok(())
            }
            done => done,
        }
    }

    async fn load(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError> {
        let mut events = self.inner.load(deployment).await?;
        if self.bug == Planted::DirectionForgotten {
            for event in &mut events {
                if let EventKind::Advanced { state, .. } = &mut event.kind {
                    state.direction = Direction::Forward;
                }
            }
        }
        Ok(events)
    }

    async fn list(&self, workload: &WorkloadId) -> Result<Vec<DeploymentId>, JournalError> {
        self.inner.list(workload).await
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> Result<Epoch, JournalError> {
        self.inner.last_epoch(workload).await
    }
}

/// A lock whose holder never learns that it was lost.
#[derive(Debug)]
pub(super) struct BadLock {
    pub(super) inner: WitnessLock,
}

#[async_trait]
impl Lock for BadLock {
    async fn acquire(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError> {
        self.inner.acquire(workloads, deployment).await
    }

    async fn renew(&self, _workloads: &[WorkloadId], _epoch: Epoch) -> Result<(), LockError> {
        Ok(())
    }

    async fn holder(&self, workload: &WorkloadId) -> Result<Option<LockHolder>, LockError> {
        self.inner.holder(workload).await
    }

    async fn take_over(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError> {
        self.inner.take_over(workloads, deployment).await
    }
}
