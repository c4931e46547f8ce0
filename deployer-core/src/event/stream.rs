//! Events as they happen, for as many listeners as there are.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Event, EventKind};

/// How many events a listener may lie behind before it loses the oldest.
const BEHIND: usize = 1024;

/// The events of one run as they happen: durable ones and progress. It ends when the run ends.
///
/// A listener that lies more than 1024 events behind loses the oldest ones and gets an [`EventKind::Note`] that says how
/// many; the [journal](crate::ports::Journal) has all that are durable.
pub struct EventStream(BoxStream<'static, Event>);

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}

#[derive(Debug, Clone)]
enum Item {
    Event(Arc<Event>),
    End,
}

/// Where a run puts its events. Without a listener there is no channel: it would hold room for all that one may lie
/// behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventBus(Arc<OnceLock<broadcast::Sender<Item>>>);

impl EventBus {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn send(&self, event: Arc<Event>) {
        self.tell(Item::Event(event));
    }

    /// The run is over, whichever way.
    pub(crate) fn end(&self) {
        self.tell(Item::End);
    }

    fn tell(&self, item: Item) {
        if let Some(channel) = self.0.get() {
            // Nobody listening any more is no error.
            let _ = channel.send(item);
        }
    }

    pub(crate) fn subscribe(&self) -> EventStream {
        let channel = self.0.get_or_init(|| broadcast::Sender::new(BEHIND));
        let start = (channel.subscribe(), None::<Arc<Event>>);
        let events = futures::stream::unfold(start, |(mut receiver, last)| async move {
            loop {
                match receiver.recv().await {
                    Ok(Item::Event(event)) => {
                        return Some((Event::clone(&event), (receiver, Some(event))));
                    }
                    Ok(Item::End) | Err(RecvError::Closed) => return None,
                    Err(RecvError::Lagged(missed)) => {
                        if let Some(notice) = last.as_deref().map(|event| lag_notice(event, missed)) {
                            return Some((notice, (receiver, last)));
                        }
                    }
                }
            }
        });
        EventStream(events.boxed())
    }
}

fn lag_notice(last: &Event, missed: u64) -> Event {
    let message = format!("this listener was too slow and missed {missed} events");
    Event { kind: EventKind::Note { message }, ..last.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeploymentId, Epoch, Timestamp};

    fn event(seq: u64) -> Arc<Event> {
        Arc::new(Event {
            deployment: DeploymentId::new("d1").unwrap(),
            seq,
            epoch: Epoch(1),
            at: Timestamp::from_millis(seq),
            path: Vec::new(),
            kind: EventKind::StageStarted,
        })
    }

    #[tokio::test]
    async fn every_listener_gets_all_and_then_the_end() {
        let bus = EventBus::new();
        let (first, second) = (bus.subscribe(), bus.subscribe());
        bus.send(event(0));
        bus.send(event(1));
        bus.end();
        for stream in [first, second] {
            assert_eq!(stream.map(|event| event.seq).collect::<Vec<_>>().await, [0, 1]);
        }
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_what_it_missed() {
        let bus = EventBus::new();
        let mut stream = bus.subscribe();
        bus.send(event(0));
        assert_eq!(stream.next().await.unwrap().seq, 0);
        (1..=BEHIND as u64 + 7).for_each(|seq| bus.send(event(seq)));
        let EventKind::Note { message } = stream.next().await.unwrap().kind else { panic!("no notice") };
        assert!(message.contains(" 7 events"), "{message}");
        assert_eq!(stream.next().await.unwrap().seq, 8);
    }
}
