//! The journal of all processes, and how one process sees it.

use std::{collections::BTreeMap, io, sync::Arc};

use async_trait::async_trait;
use deployer_core::{
    event::{Event, EventKind},
    journal::MemoryJournal,
    model::{DeploymentId, Epoch, WorkloadId},
    ports::{Journal, JournalError},
};
use parking_lot::Mutex;

use super::{oracle, witness::Witness};

/// The production memory journal, and what was written to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Books(Arc<BooksInside>);

#[derive(Debug, Default)]
struct BooksInside {
    journal: MemoryJournal,
    written: Mutex<BTreeMap<DeploymentId, Vec<Event>>>,
}

impl Books {
    pub(super) fn journal(&self) -> &MemoryJournal {
        &self.0.journal
    }

    /// All deployments.
    pub(super) fn deployments(&self) -> Vec<DeploymentId> {
        self.0.written.lock().keys().cloned().collect()
    }

    /// Reads everything back through codec and hash chain, once all is written: records are only ever added, each
    /// chained to the one before, so what is whole at the end was whole whenever a process read it.
    pub(super) async fn audit(&self, deployment: &DeploymentId) -> Result<(), JournalError> {
        let events = self.0.journal.load(deployment).await?;
        if self.written(deployment) == Some(events) {
            return Ok(());
        }
        let why = "what is read is not what was written".to_owned();
        Err(JournalError::Corrupt { record: 0, place: deployment.to_string(), why })
    }

    fn written(&self, deployment: &DeploymentId) -> Option<Vec<Event>> {
        self.0.written.lock().get(deployment).cloned()
    }

    fn note(&self, event: &Event) {
        self.0.written.lock().entry(event.deployment.clone()).or_default().push(event.clone());
    }
}

/// The journal as one process sees it.
#[derive(Debug)]
pub(super) struct WitnessJournal {
    pub(super) witness: Arc<Witness>,
    pub(super) books: Books,
}

impl WitnessJournal {
    fn fails(&self) -> Result<(), JournalError> {
        if !self.witness.lot(self.witness.scenario.rates.journal) {
            return Ok(());
        }
        self.witness.record.lock().inject("journal failed", || "the journal cannot be written".to_owned());
        let source = io::Error::other("injected");
        Err(JournalError::Io { operation: "write", place: "memory".to_owned(), source })
    }
}

/// Who owns a process is of this machine and of no interest: without it a seed has one trace everywhere.
fn anonymous(event: &Event) -> Event {
    let mut event = event.clone();
    if let EventKind::DeploymentStarted { owner, .. } | EventKind::Resumed { owner } = &mut event.kind {
        "a process".clone_into(owner);
    }
    event
}

#[async_trait]
impl Journal for WitnessJournal {
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> Result<(), JournalError> {
        self.witness.may_die().await;
        let first = anonymous(first);
        self.books.0.journal.create(workloads, &first).await?;
        self.books.note(&first);
        oracle::event(&mut self.witness.record.lock(), &self.witness, &first);
        self.witness.may_die().await;
        Ok(())
    }

    async fn append(&self, event: &Event) -> Result<(), JournalError> {
        self.witness.may_die().await;
        self.fails()?;
        let event = anonymous(event);
        self.books.0.journal.append(&event).await?;
        self.books.note(&event);
        oracle::event(&mut self.witness.record.lock(), &self.witness, &event);
        self.fails()?;
        self.witness.may_die().await;
        Ok(())
    }

    async fn load(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError> {
        self.books.written(deployment).ok_or_else(|| JournalError::NotFound(deployment.clone()))
    }

    async fn list(&self, workload: &WorkloadId) -> Result<Vec<DeploymentId>, JournalError> {
        self.books.0.journal.list(workload).await
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> Result<Epoch, JournalError> {
        self.books.0.journal.last_epoch(workload).await
    }
}
