//! The last events, for those who ask from time to time.

use std::{collections::VecDeque, sync::Arc};

use super::Event;

/// The last events of one or more runs, for those who ask from time to time: a status page, a command line.
///
/// ```
/// # use deployer_core::{event::{Event, EventBuffer, EventKind}, model::{DeploymentId, Epoch, Timestamp}};
/// # let event = Event {
/// #     deployment: DeploymentId::new("d1").unwrap(), seq: 0, epoch: Epoch(1), at: Timestamp::default(),
/// #     path: Vec::new(), kind: EventKind::StageStarted,
/// # };
/// let mut buffer = EventBuffer::new(100);
/// buffer.push(event);
/// let first = buffer.since(0);
/// assert_eq!((first.events.len(), first.missed), (1, 0));
/// assert!(buffer.since(first.next).events.is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct EventBuffer {
    events: VecDeque<Arc<Event>>,
    capacity: usize,
    pushed: u64,
}

/// What [`EventBuffer::since`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsSince {
    /// The events since the cursor that are still there, oldest first.
    pub events: Vec<Arc<Event>>,
    /// How many were dropped since the cursor.
    pub missed: u64,
    /// The cursor to ask with next.
    pub next: u64,
}

impl EventBuffer {
    /// Keeps this many events, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { events: VecDeque::new(), capacity: capacity.max(1), pushed: 0 }
    }

    /// Takes in one event; the oldest one goes if there are too many.
    pub fn push(&mut self, event: impl Into<Arc<Event>>) {
        if self.events.len() == self.capacity {
            self.events.pop_front();
        }
        self.events.push_back(event.into());
        self.pushed += 1;
    }

    /// Everything since a cursor: 0, or the `next` of an earlier answer.
    pub fn since(&self, cursor: u64) -> EventsSince {
        let oldest = self.pushed - self.events.len() as u64;
        let skipped = usize::try_from(cursor.saturating_sub(oldest)).unwrap_or(usize::MAX);
        EventsSince {
            events: self.events.iter().skip(skipped).cloned().collect(),
            missed: oldest.saturating_sub(cursor),
            next: self.pushed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::EventKind,
        model::{DeploymentId, Epoch, Timestamp},
    };

    #[test]
    fn a_cursor_gets_each_event_once_and_learns_what_it_missed() {
        let mut buffer = EventBuffer::new(3);
        let event = |seq| Event {
            deployment: DeploymentId::new("d1").unwrap(),
            seq,
            epoch: Epoch(1),
            at: Timestamp::default(),
            path: Vec::new(),
            kind: EventKind::StageStarted,
        };
        buffer.push(event(0));
        buffer.push(event(1));
        let first = buffer.since(0);
        assert_eq!((first.events.len(), first.missed, first.next), (2, 0, 2));
        (2..7).for_each(|seq| buffer.push(event(seq)));
        let second = buffer.since(first.next);
        assert_eq!(second.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [4, 5, 6]);
        assert_eq!(second.missed, 2);
        assert_eq!(buffer.since(99).events, [], "a cursor from the future gets nothing");
    }
}
