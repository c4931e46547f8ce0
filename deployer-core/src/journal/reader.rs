//! Reading a whole journal: what is whole is taken, what is torn is dropped, what is wrong is refused.

use super::codec::{BadLine, FORMAT, Tail, decode};
use crate::{event::Event, ports::JournalError};

/// What a journal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// All durable events, oldest first; none if not even the first was written to its end.
    pub events: Vec<Event>,
    /// Bytes that these take. What follows is the beginning of a record that was never finished.
    pub length: u64,
    pub(super) tail: Option<Tail>,
}

/// Reads a journal. `place` names it in errors.
///
/// A last record without its line feed is torn: the process died while it was written, so nothing relied on it, and it
/// is dropped. A record with its line feed was durable, so it has to be what was written.
///
/// # Errors
/// [`JournalError::Corrupt`] with the number of the record, or [`JournalError::NewerFormat`].
pub fn read(bytes: &[u8], place: &str) -> Result<Contents, JournalError> {
    let mut contents = Contents { events: Vec::new(), length: 0, tail: None };
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (event, tail) = decode(&rest[..end], contents.tail)
            .map_err(|bad| refuse(bad, contents.events.len() as u64, place))?;
        contents.events.push(event);
        contents.tail = Some(tail);
        contents.length += end as u64 + 1;
        rest = &rest[end + 1..];
    }
    Ok(contents)
}

fn refuse(bad: BadLine, record: u64, place: &str) -> JournalError {
    match bad {
        BadLine::Damaged(why) => JournalError::Corrupt { record, place: place.to_owned(), why },
        BadLine::Newer(found) => JournalError::NewerFormat { place: place.to_owned(), found, known: FORMAT },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::codec::{Chain, encode},
        *,
    };
    use crate::{
        event::{CommandResult, EventKind},
        model::{DeploymentId, Epoch, StageId, Timestamp, WorkloadId},
        strategy::{Command, Outcome},
    };

    fn event(seq: u64, kind: EventKind) -> Event {
        Event {
            deployment: DeploymentId::new("d1").unwrap(),
            seq,
            epoch: Epoch(1 + seq / 3),
            at: Timestamp::from_millis(1_763_719_200_000 + seq),
            path: vec![StageId::new("rollout").unwrap()],
            kind,
        }
    }

    fn events() -> Vec<Event> {
        let started = EventKind::DeploymentStarted {
            workloads: vec![WorkloadId::new("web").unwrap()],
            stages: Vec::new(),
            plan_hash: "00".into(),
            owner: "host:1:ü\n\"".into(),
        };
        let intent = EventKind::Intent {
            commands: vec![Command::Remove(crate::model::SetId::new("v1").unwrap())],
            why: "it is old".into(),
            results: vec![CommandResult { command: 0, error: Some("no\u{2028}".into()) }],
        };
        let finished = EventKind::DeploymentFinished { outcome: Outcome::Succeeded };
        let kinds = [
            started,
            EventKind::StageStarted,
            intent,
            EventKind::StageSucceeded { output: serde_json::Value::Null },
            finished,
        ];
        kinds.into_iter().zip(0..).map(|(kind, seq)| event(seq, kind)).collect()
    }

    fn written(events: &[Event]) -> Vec<u8> {
        let mut chain = Chain::default();
        let mut bytes = Vec::new();
        for event in events {
            let (line, next) = encode(event, chain).unwrap();
            bytes.extend(line);
            chain = next;
        }
        bytes
    }

    fn feeds(bytes: &[u8]) -> usize {
        bytes.split(|byte| *byte == b'\n').count() - 1
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = written(&events());
        let contents = read(&bytes, "memory").unwrap();
        assert_eq!(contents.events, events());
        assert_eq!(contents.length, bytes.len() as u64);
    }

    #[test]
    fn truncation_at_every_byte_leaves_the_whole_records() {
        let bytes = written(&events());
        for length in 0..bytes.len() {
            let contents = read(&bytes[..length], "memory").unwrap();
            let whole = feeds(&bytes[..length]);
            assert_eq!(contents.events, events()[..whole], "cut at byte {length}");
            assert!(contents.length <= length as u64);
        }
    }

    #[test]
    fn every_flipped_bit_is_refused_by_name_or_tears_the_tail() {
        let bytes = written(&events());
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                match read(&changed, "memory") {
                    Ok(contents) => {
                        assert_eq!(place, bytes.len() - 1, "only the last line feed may go unnoticed");
                        assert_eq!(contents.events, events()[..events().len() - 1]);
                    }
                    Err(JournalError::Corrupt { record, .. }) => {
                        let expected = feeds(&bytes[..place]) as u64;
                        assert_eq!(record, expected, "byte {place} bit {bit}");
                    }
                    Err(JournalError::NewerFormat { .. }) => assert!(place < 12, "byte {place} bit {bit}"),
                    Err(other) => panic!("byte {place} bit {bit}: {other}"),
                }
            }
        }
    }

    #[test]
    fn removed_repeated_and_swapped_records_are_refused() {
        let bytes = written(&events());
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for n in 0..lines.len() {
            let mut repeated = lines.clone();
            repeated.insert(n, lines[n]);
            assert!(read(&repeated.concat(), "memory").is_err(), "repeated {n}");
            if n + 1 < lines.len() {
                let mut removed = lines.clone();
                removed.remove(n);
                assert!(read(&removed.concat(), "memory").is_err(), "removed {n}");
                let mut swapped = lines.clone();
                swapped.swap(n, n + 1);
                assert!(read(&swapped.concat(), "memory").is_err(), "swapped {n}");
            }
        }
    }

    #[test]
    fn an_older_epoch_inside_is_refused() {
        let mut list = events();
        list[4].epoch = Epoch(0);
        let error = read(&written(&list), "memory").unwrap_err();
        assert!(matches!(error, JournalError::Corrupt { record: 4, .. }), "{error}");
    }

    #[test]
    fn a_newer_format_is_named() {
        let bytes = written(&events());
        let text = String::from_utf8(bytes).unwrap().replacen("\"format\":1", "\"format\":2", 1);
        let error = read(text.as_bytes(), "memory").unwrap_err();
        assert!(matches!(error, JournalError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, "memory");
        }

        #[test]
        fn noise_in_a_journal_never_invents_an_event(
            at in 0_usize..2000, noise in proptest::collection::vec(any::<u8>(), 1..40)
        ) {
            let mut bytes = written(&events());
            let at = at % bytes.len();
            bytes.splice(at..at, noise);
            if let Ok(contents) = read(&bytes, "memory") {
                prop_assert_eq!(&contents.events[..], &events()[..contents.events.len()]);
            }
        }
    }
}
