//! Writing down what happens: durable events to the journal, all of them to listeners.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{notices::Notices, parts::Parts, report::Tale};
use crate::{
    event::{Event, EventBus, EventKind, line},
    model::{DeploymentId, Epoch, StageId},
    ports::{Clock, Journal, JournalError},
};

/// Writes down what happens in one run.
#[derive(Debug)]
pub(crate) struct Recorder {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    bus: EventBus,
    notices: Notices,
    deployment: DeploymentId,
    epoch: Epoch,
    next: u64,
    path: Vec<StageId>,
    tale: Mutex<Tale>,
}

impl Recorder {
    /// Goes on behind these events; none for a deployment that has not been created.
    pub(crate) fn new(
        parts: &Parts,
        bus: EventBus,
        deployment: DeploymentId,
        epoch: Epoch,
        before: &[Event],
    ) -> Self {
        let mut tale = Tale::new(parts, &deployment);
        for event in before {
            tale.hear(event);
        }
        Self {
            journal: Arc::clone(&parts.journal),
            clock: Arc::clone(&parts.clock),
            bus,
            notices: Notices::new(&parts.notifiers, &parts.clock, parts.engine.call_deadline),
            deployment,
            epoch,
            next: before.last().map_or(0, |event| event.seq + 1),
            path: Vec::new(),
            tale: Mutex::new(tale),
        }
    }

    /// Writes the first event of the deployment.
    pub(crate) async fn create(&mut self, parts: &Parts, kind: EventKind) -> Result<(), JournalError> {
        let event = self.event(self.next, kind);
        self.journal.create(std::slice::from_ref(&parts.workload), &event).await?;
        self.next += 1;
        self.publish(event);
        Ok(())
    }

    /// Writes a durable event. Nothing that follows from it may be done before this returns.
    pub(crate) async fn record(&mut self, kind: EventKind) -> Result<(), JournalError> {
        let event = self.event(self.next, kind);
        self.journal.append(&event).await?;
        self.next += 1;
        self.publish(event);
        Ok(())
    }

    /// Tells of progress.
    pub(crate) fn progress(&self, kind: EventKind) {
        self.publish(self.event(self.next.saturating_sub(1), kind));
    }

    /// Something worth showing.
    pub(crate) fn note(&self, message: impl Into<String>) {
        self.progress(EventKind::Note { message: message.into() });
    }

    /// What follows happens inside this stage.
    pub(crate) fn enter(&mut self, stage: StageId) {
        self.path.push(stage);
    }

    /// What follows happens outside the innermost stage.
    pub(crate) fn leave(&mut self) {
        self.path.pop();
    }

    /// What happened so far.
    pub(crate) fn tale(&self) -> MutexGuard<'_, Tale> {
        self.tale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives notifiers a moment, and tells the tale.
    pub(crate) async fn finish(self) -> Tale {
        self.notices.finish(&*self.clock).await;
        self.tale.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, seq: u64, kind: EventKind) -> Event {
        Event {
            deployment: self.deployment.clone(),
            seq,
            epoch: self.epoch,
            at: self.clock.now(),
            path: self.path.clone(),
            kind,
        }
    }

    fn publish(&self, event: Event) {
        if event.kind.is_durable() {
            tracing::info!(seq = event.seq, epoch = event.epoch.0, "{}", line(&event));
        } else {
            tracing::debug!(seq = event.seq, epoch = event.epoch.0, "{}", line(&event));
        }
        self.tale().hear(&event);
        let event = Arc::new(event);
        if event.kind.is_durable() || matches!(event.kind, EventKind::EvidenceFound { .. }) {
            self.notices.tell(&event);
        }
        self.bus.send(event);
    }
}
