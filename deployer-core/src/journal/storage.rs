//! One append-only journal on top of something that keeps bytes: the rules of appending, once for all storages.

use std::io;

use super::{
    codec::{Chain, Tail, encode},
    reader::read,
};
use crate::{event::Event, model::Epoch, ports::JournalError};

/// What keeps the bytes of one journal.
pub(super) trait Storage: Send {
    /// Its name in errors.
    fn place(&self) -> String;
    /// How many bytes there are now.
    fn length(&self) -> io::Result<u64>;
    /// All of them.
    fn bytes(&mut self) -> io::Result<Vec<u8>>;
    /// Forgets what follows.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Adds these, in one write, and returns when they are durable.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// From now on these are all bytes, in one step and durable, for whoever looks; whoever has it open goes on with what
    /// there was before, which nobody sees any more.
    fn replace(&mut self, bytes: &[u8], epoch: Epoch) -> io::Result<()>;
    /// Goes on with what somebody else put in its place; whether that is so.
    fn follow(&mut self) -> io::Result<bool>;
}

/// A journal that is open for appending.
#[derive(Debug)]
pub(super) struct Log<S> {
    storage: S,
    first: Option<Epoch>,
    tail: Option<Tail>,
    length: u64,
    poisoned: bool,
}

impl<S: Storage> Log<S> {
    /// Reads what is there and cuts off a torn record.
    pub(super) fn open(mut storage: S) -> Result<Self, JournalError> {
        let place = storage.place();
        let failed = |operation, source| JournalError::Io { operation, place: place.clone(), source };
        let bytes = storage.bytes().map_err(|source| failed("reading the journal", source))?;
        let contents = read(&bytes, &place)?;
        if contents.length < bytes.len() as u64 {
            storage
                .truncate(contents.length)
                .map_err(|source| failed("cutting a torn record off the journal", source))?;
        }
        let first = contents.events.first().map(|event| event.epoch);
        Ok(Self { storage, first, tail: contents.tail, length: contents.length, poisoned: false })
    }

    /// Whether it has no event yet.
    pub(super) fn is_empty(&self) -> bool {
        self.tail.is_none()
    }

    /// The epoch of its first event.
    pub(super) fn first_epoch(&self) -> Option<Epoch> {
        self.first
    }

    /// The epoch of its last event.
    pub(super) fn last_epoch(&self) -> Option<Epoch> {
        self.tail.map(|tail| tail.epoch)
    }

    pub(super) fn storage(&self) -> &S {
        &self.storage
    }

    pub(super) fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    pub(super) fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned);
        }
        let place = self.storage.place();
        let looking =
            |source| JournalError::Io { operation: "looking at the journal", place: place.clone(), source };
        if self.storage.follow().map_err(looking)? {
            (self.tail, self.length) = (None, 0);
        }
        if self.tail.is_some_and(|tail| event.epoch > tail.epoch) {
            return self.take_over(event);
        }
        self.follow_others(event)?;
        self.check(event)?;
        let (line, chain) = self.encoded(event, self.tail)?;
        if let Err(source) = self.storage.append(&line) {
            // What reached the disk is not known any more, so this process writes no further record.
            self.poisoned = true;
            return Err(JournalError::Io { operation: "appending to the journal", place, source });
        }
        if self.storage.follow().map_err(looking)? {
            // Somebody took over meanwhile, and the record is in what was before.
            self.poisoned = true;
            let bytes = self.storage.bytes().map_err(looking)?;
            let newer = read(&bytes, &place)?.tail.map_or(event.epoch, |tail| tail.epoch);
            return Err(JournalError::Fenced { have: event.epoch, newer });
        }
        self.length += line.len() as u64;
        self.first.get_or_insert(event.epoch);
        self.tail = Some(Tail { seq: event.seq, epoch: event.epoch, chain });
        Ok(())
    }

    /// A new owner goes on with a journal of its own, which has what it has read of the one before: what the owner before
    /// writes after that, as it was stopped in the middle of it, comes to nothing.
    fn take_over(&mut self, event: &Event) -> Result<(), JournalError> {
        let place = self.storage.place();
        let failed = |operation, source| JournalError::Io { operation, place: place.clone(), source };
        let mut bytes = self.storage.bytes().map_err(|source| failed("looking at the journal", source))?;
        let contents = read(&bytes, &place)?;
        bytes.truncate(usize::try_from(contents.length).unwrap_or(usize::MAX));
        self.tail = contents.tail;
        self.check(event)?;
        let (line, chain) = self.encoded(event, self.tail)?;
        bytes.extend_from_slice(&line);
        if let Err(source) = self.storage.replace(&bytes, event.epoch) {
            self.poisoned = true;
            return Err(failed("taking the journal over", source));
        }
        self.length = bytes.len() as u64;
        self.tail = Some(Tail { seq: event.seq, epoch: event.epoch, chain });
        Ok(())
    }

    fn encoded(&self, event: &Event, before: Option<Tail>) -> Result<(Vec<u8>, Chain), JournalError> {
        encode(event, before.map_or(Chain::default(), |tail| tail.chain)).map_err(|error| JournalError::Io {
            operation: "writing an event as JSON",
            place: self.storage.place(),
            source: error.into(),
        })
    }

    /// Another process that took the lock over may have written since, and may have died in the middle of it.
    fn follow_others(&mut self, event: &Event) -> Result<(), JournalError> {
        let place = self.storage.place();
        let failed =
            |source| JournalError::Io { operation: "looking at the journal", place: place.clone(), source };
        if self.storage.length().map_err(failed)? == self.length {
            return Ok(());
        }
        let bytes = self.storage.bytes().map_err(failed)?;
        let contents = read(&bytes, &place)?;
        if contents.length < bytes.len() as u64 {
            // Only who came after it may cut off what it left: for anybody else it is the one who came after.
            let record = contents.events.len() as u64;
            if contents.tail.is_none_or(|tail| event.epoch <= tail.epoch) {
                let why = "somebody else began to write it; this process must not write any more".to_owned();
                return Err(JournalError::Corrupt { record, place, why });
            }
            self.storage.truncate(contents.length).map_err(|source| JournalError::Io {
                operation: "cutting a torn record off the journal",
                place,
                source,
            })?;
        }
        self.tail = contents.tail;
        self.length = contents.length;
        Ok(())
    }

    fn check(&self, event: &Event) -> Result<(), JournalError> {
        match self.tail {
            None if event.seq == 0 => Ok(()),
            None => Err(JournalError::NotFound(event.deployment.clone())),
            Some(tail) if event.epoch < tail.epoch => {
                Err(JournalError::Fenced { have: event.epoch, newer: tail.epoch })
            }
            Some(tail) if event.seq != tail.seq + 1 => {
                Err(JournalError::OutOfOrder { last: tail.seq, got: event.seq })
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::EventKind,
        model::{DeploymentId, Timestamp},
    };

    /// Fails the append with this number, after having kept `keeps` bytes of it.
    #[derive(Debug, Default)]
    struct Failing {
        bytes: Vec<u8>,
        appends: u32,
        fails_at: u32,
        keeps: usize,
    }

    impl Storage for Failing {
        fn place(&self) -> String {
            "failing".into()
        }
        fn length(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }
        fn bytes(&mut self) -> io::Result<Vec<u8>> {
            Ok(self.bytes.clone())
        }
        fn truncate(&mut self, length: u64) -> io::Result<()> {
            self.bytes.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.appends += 1;
            if self.appends == self.fails_at {
                self.bytes.extend_from_slice(&bytes[..self.keeps.min(bytes.len())]);
                return Err(io::Error::other("no room"));
            }
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

    fn event(seq: u64, epoch: u64) -> Event {
        Event {
            deployment: DeploymentId::new("d1").unwrap(),
            seq,
            epoch: Epoch(epoch),
            at: Timestamp::from_millis(seq),
            path: Vec::new(),
            kind: EventKind::StageStarted,
        }
    }

    #[test]
    fn a_failed_append_poisons_for_ever_and_the_torn_record_is_cut_off_by_the_next_owner() {
        let mut log = Log::open(Failing { fails_at: 3, keeps: 20, ..Failing::default() }).unwrap();
        log.append(&event(0, 1)).unwrap();
        log.append(&event(1, 1)).unwrap();
        assert!(matches!(log.append(&event(2, 1)), Err(JournalError::Io { .. })));
        assert!(matches!(log.append(&event(2, 1)), Err(JournalError::Poisoned)));
        let torn = log.storage.bytes.clone();
        let mut next = Log::open(Failing { bytes: torn, ..Failing::default() }).unwrap();
        next.append(&event(2, 2)).unwrap();
        let events = read(&next.storage.bytes, "failing").unwrap().events;
        assert_eq!(events.iter().map(|event| event.epoch.0).collect::<Vec<_>>(), [1, 1, 2]);
    }

    #[test]
    fn nothing_is_appended_behind_what_somebody_else_began() {
        let mut log = Log::open(Failing::default()).unwrap();
        log.append(&event(0, 1)).unwrap();
        log.storage.bytes.extend_from_slice(b"{\"deployment\":\"d1\"");
        let before = log.storage.bytes.clone();
        let error = log.append(&event(1, 1)).unwrap_err();
        assert!(error.to_string().contains("must not write any more"), "{error}");
        assert_eq!(log.storage.bytes, before);
        log.append(&event(1, 2)).unwrap();
        assert_eq!(read(&log.storage.bytes, "failing").unwrap().events, [event(0, 1), event(1, 2)]);
    }

    #[test]
    fn gaps_repeats_and_older_epochs_are_refused() {
        let mut log = Log::open(Failing::default()).unwrap();
        assert!(matches!(log.append(&event(1, 1)), Err(JournalError::NotFound(_))));
        log.append(&event(0, 5)).unwrap();
        assert!(matches!(log.append(&event(2, 5)), Err(JournalError::OutOfOrder { last: 0, got: 2 })));
        assert!(matches!(log.append(&event(0, 5)), Err(JournalError::OutOfOrder { last: 0, got: 0 })));
        let fenced = log.append(&event(1, 4)).unwrap_err();
        assert!(matches!(fenced, JournalError::Fenced { have: Epoch(4), newer: Epoch(5) }), "{fenced}");
        log.append(&event(1, 5)).unwrap();
    }
}
