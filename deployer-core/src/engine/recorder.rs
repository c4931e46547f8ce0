//! Writing down what happens: durable events to the journal, all of them to listeners.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{notices::Notices, parts::Tools, report::Tale};
use crate::{
    event::{Event, EventBus, EventKind, line},
    model::{DeploymentId, Epoch, StageId, WorkloadId},
    pipeline::Progress,
    ports::{Clock, Journal, JournalError},
    redact::Redactor,
    strategy::Observation,
};

/// Writes down what happens in one run.
#[derive(Debug)]
pub(crate) struct Recorder {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    bus: EventBus,
    notices: Notices,
    redactor: Redactor,
    deployment: DeploymentId,
    epoch: Epoch,
    next: u64,
    path: Vec<StageId>,
    progress: Progress,
    tale: Mutex<Tale>,
}

impl Recorder {
    /// Goes on behind these events, which have come this far; none for a deployment that has not been created.
    pub(crate) fn new(
        tools: &Tools,
        bus: EventBus,
        (deployment, epoch): (DeploymentId, Epoch),
        (before, progress): (&[Event], Progress),
    ) -> Self {
        let mut tale = Tale::new(&deployment, tools.clock.now());
        for event in before {
            tale.hear(event);
        }
        Self {
            journal: Arc::clone(&tools.journal),
            clock: Arc::clone(&tools.clock),
            bus,
            notices: Notices::new(tools),
            redactor: tools.redactor.clone(),
            deployment,
            epoch,
            next: before.last().map_or(0, |event| event.seq + 1),
            path: Vec::new(),
            progress,
            tale: Mutex::new(tale),
        }
    }

    /// Writes the first event of the deployment.
    pub(crate) async fn create(
        &mut self,
        workloads: &[WorkloadId],
        kind: EventKind,
    ) -> Result<(), JournalError> {
        let event = self.event(self.next, kind);
        self.journal.create(workloads, &event).await?;
        self.next += 1;
        self.publish(event);
        Ok(())
    }

    /// Writes a durable event. Nothing that follows from it may be done before this returns.
    pub(crate) async fn record(&mut self, kind: EventKind) -> Result<(), JournalError> {
        let event = self.event(self.next, kind);
        self.journal.append(&event).await?;
        self.next += 1;
        let followed = self.progress.follow(&event);
        debug_assert_eq!(followed, Ok(()), "what is written can be read again: {event:?}");
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

    /// How far the deployment is.
    pub(crate) fn progress_so_far(&self) -> &Progress {
        &self.progress
    }

    /// What is there at the end of a rollout.
    pub(crate) fn live(&self, seen: &Observation) {
        self.tale().live(self.path.last(), seen);
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
            kind: self.redactor.event(kind),
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
