//! A lock that dies with the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::record::owner;
use crate::{
    error::LockHolder,
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Clock as _, Lock, LockError, LockGrant, SystemClock},
};

/// A lock in memory. Clones share it; another process knows nothing of it.
///
/// It is what a deployment uses if it is given none.
#[derive(Debug, Clone, Default)]
pub struct MemoryLock(Arc<Mutex<BTreeMap<WorkloadId, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    epoch: Epoch,
    holder: Option<LockHolder>,
}

impl MemoryLock {
    /// No workload is locked.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares the holder of a workload's lock dead, as if its process had been killed: it can be taken over, and the
    /// old holder then finds its lock lost. For tests of exactly that.
    pub fn declare_dead(&self, workload: &WorkloadId) {
        if let Some(holder) = self.entries().get_mut(workload).and_then(|entry| entry.holder.as_mut()) {
            holder.dead = true;
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<WorkloadId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, workloads: &[WorkloadId], from_the_dead: bool) -> Result<Box<dyn LockGrant>, LockError> {
        let mut workloads = workloads.to_vec();
        workloads.sort();
        workloads.dedup();
        let mut entries = self.entries();
        for workload in &workloads {
            let holder = entries.get(workload).and_then(|entry| entry.holder.clone());
            if let Some(holder) = holder.filter(|holder| !(from_the_dead && holder.dead)) {
                return Err(LockError::Held { workload: workload.clone(), holder });
            }
        }
        let newest =
            workloads.iter().filter_map(|workload| entries.get(workload)).map(|entry| entry.epoch).max();
        let epoch = newest.unwrap_or_default().next();
        let holder = LockHolder { owner: owner(), since: SystemClock::new().now(), epoch, dead: false };
        for workload in &workloads {
            entries.insert(workload.clone(), Entry { epoch, holder: Some(holder.clone()) });
        }
        Ok(Box::new(Grant { lock: self.clone(), workloads, epoch }))
    }
}

#[derive(Debug)]
struct Grant {
    lock: MemoryLock,
    workloads: Vec<WorkloadId>,
    epoch: Epoch,
}

impl LockGrant for Grant {
    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut entries = self.lock.entries();
        for workload in &self.workloads {
            if let Some(entry) = entries.get_mut(workload).filter(|entry| entry.epoch == self.epoch) {
                entry.holder = None;
            }
        }
    }
}

#[async_trait]
impl Lock for MemoryLock {
    async fn acquire(
        &self,
        workloads: &[WorkloadId],
        _deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError> {
        self.take(workloads, false)
    }

    async fn renew(&self, workloads: &[WorkloadId], epoch: Epoch) -> Result<(), LockError> {
        let entries = self.entries();
        let ours = |workload| entries.get(workload).is_some_and(|entry| entry.epoch == epoch);
        if workloads.iter().all(ours) { Ok(()) } else { Err(LockError::Lost) }
    }

    async fn holder(&self, workload: &WorkloadId) -> Result<Option<LockHolder>, LockError> {
        Ok(self.entries().get(workload).and_then(|entry| entry.holder.clone()))
    }

    async fn take_over(
        &self,
        workloads: &[WorkloadId],
        _deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError> {
        self.take(workloads, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_holder_is_taken_over_and_finds_its_lock_lost() {
        let (lock, web) = (MemoryLock::new(), [WorkloadId::new("web").unwrap()]);
        let deployment = DeploymentId::new("d1").unwrap();
        let old = lock.acquire(&web, &deployment).await.unwrap();
        assert!(lock.take_over(&web, &deployment).await.is_err(), "it is alive");
        lock.declare_dead(&web[0]);
        let new = lock.take_over(&web, &deployment).await.unwrap();
        assert!(new.epoch() > old.epoch());
        assert!(matches!(lock.renew(&web, old.epoch()).await, Err(LockError::Lost)));
        drop(old);
        assert_eq!(
            lock.holder(&web[0]).await.unwrap().unwrap().epoch,
            new.epoch(),
            "the old one frees nothing"
        );
        drop(new);
        assert_eq!(lock.holder(&web[0]).await.unwrap(), None);
    }
}
