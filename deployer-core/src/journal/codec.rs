//! One event as one line of JSON, chained to the line before.
//!
//! A line is the event's fields, `prev` and `hash`; the first line says the `format` too. The hash is SHA-256 over the
//! hash before (32 zero bytes for the first line) and the exact bytes of the line up to the hash itself, so no two
//! spellings of a record are both right.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{event::Event, model::Epoch};

/// The format that this version writes, and the newest one that it reads.
pub const FORMAT: u32 = 1;

/// What precedes the hash in a line.
const HASH_FIELD: &[u8] = b",\"hash\":\"";
/// What follows it.
const CLOSE: &[u8] = b"\"}";
const HEX_LENGTH: usize = 64;

/// The hash that the next line is chained to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Chain(pub(super) [u8; 32]);

impl Chain {
    fn over(self, body: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(body);
        Self(hasher.finalize().into())
    }

    fn hex(self) -> String {
        hex(&self.0)
    }
}

/// What the last record of a journal says about the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) seq: u64,
    pub(super) epoch: Epoch,
    pub(super) chain: Chain,
}

/// Small hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<u32>,
    #[serde(flatten)]
    event: &'a Event,
    prev: String,
}

/// The line of an event, with its line feed, and the chain after it.
pub(super) fn encode(event: &Event, before: Chain) -> Result<(Vec<u8>, Chain), serde_json::Error> {
    let format = (event.seq == 0).then_some(FORMAT);
    let mut line = serde_json::to_vec(&Line { format, event, prev: before.hex() })?;
    line.pop();
    let after = before.over(&line);
    line.extend_from_slice(HASH_FIELD);
    line.extend_from_slice(after.hex().as_bytes());
    line.extend_from_slice(CLOSE);
    line.push(b'\n');
    Ok((line, after))
}

#[derive(Deserialize)]
struct Header {
    format: Option<u32>,
}

/// Why a line was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadLine {
    /// It is not what was written.
    Damaged(String),
    /// It says a format that this version does not know.
    Newer(u32),
}

/// Reads one terminated line, given without its line feed.
pub(super) fn decode(line: &[u8], before: Option<Tail>) -> Result<(Event, Tail), BadLine> {
    let damaged = |why: &str| BadLine::Damaged(why.to_owned());
    if before.is_none() {
        check_format(line)?;
    }
    let chain_before = before.map_or(Chain::default(), |tail| tail.chain);
    let body_length = line
        .len()
        .checked_sub(HASH_FIELD.len() + HEX_LENGTH + CLOSE.len())
        .ok_or_else(|| damaged("it is too short to be a record"))?;
    let (body, rest) = line.split_at(body_length);
    let written = rest
        .strip_prefix(HASH_FIELD)
        .and_then(|rest| rest.strip_suffix(CLOSE))
        .ok_or_else(|| damaged("it does not end with its hash"))?;
    let chain = chain_before.over(body);
    if chain.hex().as_bytes() != written {
        return Err(damaged(
            "its hash is wrong: it was changed, or records before it were removed or reordered",
        ));
    }
    let event: Event = serde_json::from_slice(line).map_err(|error| BadLine::Damaged(error.to_string()))?;
    let expected = before.map_or(0, |tail| tail.seq + 1);
    if event.seq != expected {
        return Err(BadLine::Damaged(format!("it has number {} instead of {expected}", event.seq)));
    }
    if let Some(tail) = before.filter(|tail| event.epoch < tail.epoch) {
        return Err(BadLine::Damaged(format!(
            "its epoch {} is older than {} before it",
            event.epoch, tail.epoch
        )));
    }
    let tail = Tail { seq: event.seq, epoch: event.epoch, chain };
    Ok((event, tail))
}

/// The epoch of a line, given without its line feed, if it is whole in itself: what it says of the line before is taken
/// on trust.
pub(super) fn epoch_of_line(line: &[u8]) -> Option<Epoch> {
    #[derive(Deserialize)]
    struct Record {
        epoch: Epoch,
        prev: String,
        hash: String,
    }
    let record: Record = serde_json::from_slice(line).ok()?;
    let mut before = Chain::default();
    let digits = record.prev.as_bytes().chunks_exact(2);
    if record.prev.len() != HEX_LENGTH {
        return None;
    }
    for (byte, digits) in before.0.iter_mut().zip(digits) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    let body = line.get(..line.len().checked_sub(HASH_FIELD.len() + HEX_LENGTH + CLOSE.len())?)?;
    (before.over(body).hex() == record.hash).then_some(record.epoch)
}

/// A newer format may hash in another way, so this is looked at before the hash.
fn check_format(line: &[u8]) -> Result<(), BadLine> {
    let header: Header = serde_json::from_slice(line).map_err(|error| BadLine::Damaged(error.to_string()))?;
    match header.format {
        Some(format) if format > FORMAT => Err(BadLine::Newer(format)),
        Some(FORMAT) => Ok(()),
        Some(format) => Err(BadLine::Damaged(format!("format {format} was never written"))),
        None => Err(BadLine::Damaged("the first record does not say its format".to_owned())),
    }
}
