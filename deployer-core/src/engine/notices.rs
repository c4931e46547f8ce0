//! Telling notifiers, off the critical path.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};

use super::{call::within, parts::Tools};
use crate::{event::Event, ports::Clock};

/// Events that may wait to be told; more are dropped.
const QUEUE: usize = 256;
/// How long the end of a run waits for what is still to be told.
const AT_THE_END: Duration = Duration::from_secs(5);

/// The queue of what notifiers are to be told. Dropping it forgets what was not told yet.
#[derive(Debug)]
pub(super) struct Notices {
    queue: Option<mpsc::Sender<Arc<Event>>>,
    task: JoinSet<()>,
}

impl Notices {
    pub(super) fn new(tools: &Tools) -> Self {
        let mut task = JoinSet::new();
        if tools.notifiers.is_empty() {
            return Self { queue: None, task };
        }
        let (queue, events) = mpsc::channel(QUEUE);
        task.spawn(tell(tools.clone(), events));
        Self { queue: Some(queue), task }
    }

    /// Never waits.
    pub(super) fn tell(&self, event: &Arc<Event>) {
        if let Some(Err(error)) = self.queue.as_ref().map(|queue| queue.try_send(Arc::clone(event))) {
            tracing::warn!(seq = event.seq, %error, "a notifier is too slow; it is not told of an event");
        }
    }

    /// Gives what is still to be told a moment.
    pub(super) async fn finish(mut self, clock: &dyn Clock) {
        self.queue = None;
        tokio::select! {
            () = async { while self.task.join_next().await.is_some() {} } => (),
            () = clock.sleep(AT_THE_END) => tracing::warn!("a notifier is too slow; it is not told of the end"),
        }
    }
}

async fn tell(tools: Tools, mut events: mpsc::Receiver<Arc<Event>>) {
    let deadline = tools.engine.call_deadline;
    while let Some(event) = events.recv().await {
        for notifier in &tools.notifiers {
            if let Err(error) = within(&*tools.clock, deadline, "notify", notifier.notify(&event)).await {
                let report = error.report();
                let error = tools.redactor.text(&report);
                tracing::warn!(seq = event.seq, %error, "a notifier could not be told");
            }
        }
    }
}
