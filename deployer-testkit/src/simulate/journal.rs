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
    written: Mutex<BTreeMap<DeploymentId, Written>>,
}

#[derive(Debug, Default)]
struct Written {
    events: Vec<Event>,
    /// So many of them were read back through codec and hash chain. The rest is read when somebody asks for it.
    read: usize,
}

impl Books {
    pub(super) fn journal(&self) -> &MemoryJournal {
        &self.0.journal
    }

    /// All deployments.
    pub(super) fn deployments(&self) -> Vec<DeploymentId> {
        self.0.written.lock().keys().cloned().collect()
    }

    /// What was written, read back through codec and hash chain unless nothing was added since it was.
    pub(super) async fn read(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError> {
        {
            let written = self.0.written.lock();
            if let Some(known) = written.get(deployment).filter(|known| known.read == known.events.len()) {
                return Ok(known.events.clone());
            }
        }
        let events = self.0.journal.load(deployment).await?;
        let mut written = self.0.written.lock();
        let known = written.entry(deployment.clone()).or_default();
        if known.events != events {
            let why = "what is read is not what was written".to_owned();
            return Err(JournalError::Corrupt { record: 0, place: deployment.to_string(), why });
        }
        known.read = events.len();
        Ok(events)
    }

    fn note(&self, event: &Event) {
        self.0.written.lock().entry(event.deployment.clone()).or_default().events.push(event.clone());
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
        let loaded = self.books.read(deployment).await;
        if let Err(error) = &loaded {
            self.witness.record.lock().broken("audit", error.to_string());
        }
        loaded
    }

    async fn list(&self, workload: &WorkloadId) -> Result<Vec<DeploymentId>, JournalError> {
        self.books.0.journal.list(workload).await
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> Result<Epoch, JournalError> {
        self.books.0.journal.last_epoch(workload).await
    }
}
