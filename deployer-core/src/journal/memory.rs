//! A journal that dies with the process.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{
    reader::read,
    storage::{Log, Storage},
};
use crate::{
    event::Event,
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Journal, JournalError},
};

/// A journal in memory, over the same codec as the [file journal](super::FileJournal). Clones share their content.
///
/// It is what a deployment uses if it is given none. A crash of the process loses it: what was half done is then found
/// by observation only, and the release to go back to is not known.
///
/// ```
/// # use deployer_core::{journal::MemoryJournal, model::WorkloadId, ports::Journal};
/// # futures::executor::block_on(async {
/// let journal = MemoryJournal::new();
/// assert!(journal.list(&WorkloadId::new("web")?).await?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<BTreeMap<DeploymentId, Kept>>>);

#[derive(Debug)]
struct Kept {
    workloads: Vec<WorkloadId>,
    log: Log<Bytes>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of one deployment's journal, as a file would hold them.
    pub fn bytes(&self, deployment: &DeploymentId) -> Option<Vec<u8>> {
        self.kept().get(deployment).map(|kept| kept.log.storage().bytes.clone())
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<DeploymentId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Bytes {
    name: DeploymentId,
    bytes: Vec<u8>,
}

impl Storage for Bytes {
    fn place(&self) -> String {
        format!("memory:{}", self.name)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.bytes.clone())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8], _: Epoch) -> io::Result<()> {
        self.bytes = bytes.to_vec();
        Ok(())
    }

    fn follow(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> Result<(), JournalError> {
        let mut all = self.kept();
        if all.contains_key(&first.deployment) {
            return Err(JournalError::AlreadyExists(first.deployment.clone()));
        }
        let mut log = Log::open(Bytes { name: first.deployment.clone(), bytes: Vec::new() })?;
        log.append(first)?;
        all.insert(first.deployment.clone(), Kept { workloads: workloads.to_vec(), log });
        Ok(())
    }

    async fn append(&self, event: &Event) -> Result<(), JournalError> {
        let mut all = self.kept();
        let kept =
            all.get_mut(&event.deployment).ok_or_else(|| JournalError::NotFound(event.deployment.clone()))?;
        kept.log.append(event)
    }

    async fn load(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError> {
        let all = self.kept();
        let kept = all.get(deployment).ok_or_else(|| JournalError::NotFound(deployment.clone()))?;
        Ok(read(&kept.log.storage().bytes, &format!("memory:{deployment}"))?.events)
    }

    async fn list(&self, workload: &WorkloadId) -> Result<Vec<DeploymentId>, JournalError> {
        let all = self.kept();
        let mut found: Vec<_> = all
            .iter()
            .filter(|(_, kept)| kept.workloads.contains(workload))
            .map(|(name, kept)| (kept.log.first_epoch(), name.clone()))
            .collect();
        found.sort();
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> Result<Epoch, JournalError> {
        let all = self.kept();
        let epochs = all
            .values()
            .filter(|kept| kept.workloads.contains(workload))
            .filter_map(|kept| kept.log.last_epoch());
        Ok(epochs.max().unwrap_or_default())
    }
}
