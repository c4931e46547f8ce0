//! Telling notifiers, off the critical path.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};

use super::call::within;
use crate::{
    event::Event,
    ports::{Clock, Notifier},
};

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
    pub(super) fn new(notifiers: &[Arc<dyn Notifier>], clock: &Arc<dyn Clock>, deadline: Duration) -> Self {
        let mut task = JoinSet::new();
        if notifiers.is_empty() {
            return Self { queue: None, task };
        }
        let (queue, events) = mpsc::channel(QUEUE);
        task.spawn(tell(notifiers.to_vec(), Arc::clone(clock), deadline, events));
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

async fn tell(
    notifiers: Vec<Arc<dyn Notifier>>,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    mut events: mpsc::Receiver<Arc<Event>>,
) {
    while let Some(event) = events.recv().await {
        for notifier in &notifiers {
            if let Err(error) = within(&*clock, deadline, "notify", notifier.notify(&event)).await {
                tracing::warn!(seq = event.seq, error = error.report(), "a notifier could not be told");
            }
        }
    }
}
