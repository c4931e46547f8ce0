//! What a lock file says of its owner.

use serde::{Deserialize, Serialize};

use crate::{
    error::LockHolder,
    model::{DeploymentId, Epoch, Timestamp},
};

/// Bytes of one record. A file holds two, written in turn, so that a torn write leaves the one before.
pub(super) const SLOT: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) owner: String,
    pub(super) since: Timestamp,
    pub(super) epoch: Epoch,
    pub(super) deployment: DeploymentId,
}

impl Record {
    /// Exactly one slot.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut short = self.clone();
        short.owner = self
            .owner
            .chars()
            // What JSON would escape could outgrow the slot.
            .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'))
            .take(200)
            .collect();
        let mut bytes = serde_json::to_vec(&short).unwrap_or_default();
        bytes.resize(SLOT - 1, b' ');
        bytes.push(b'\n');
        bytes
    }

    /// Where in the file it goes.
    pub(super) fn offset(&self) -> u64 {
        (self.epoch.0 % 2) * SLOT as u64
    }

    /// The newest whole record.
    pub(super) fn newest(file: &[u8]) -> Option<Self> {
        file.chunks(SLOT)
            .filter_map(|slot| serde_json::from_slice::<Self>(slot).ok())
            .max_by_key(|record| record.epoch)
    }

    pub(super) fn holder(self, dead: bool) -> LockHolder {
        LockHolder { owner: self.owner, since: self.since, epoch: self.epoch, dead }
    }
}

/// This process, as locks and journals name it: host, process number, user.
pub(crate) fn owner() -> String {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy().into_owned();
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| rustix::process::getuid().as_raw().to_string());
    format!("{host}:{}:{user}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64) -> Record {
        Record {
            owner: format!("host:1:{}", "ü\"\\".repeat(300)),
            since: Timestamp::from_millis(5),
            epoch: Epoch(epoch),
            deployment: DeploymentId::new("x".repeat(63)).unwrap(),
        }
    }

    #[test]
    fn a_record_fills_one_slot_and_the_newest_wins() {
        let mut file = vec![0; SLOT * 2];
        for epoch in 1..5 {
            let bytes = record(epoch).encode();
            assert_eq!(bytes.len(), SLOT);
            let offset = usize::try_from(record(epoch).offset()).unwrap();
            file[offset..offset + SLOT].copy_from_slice(&bytes);
            assert_eq!(Record::newest(&file).unwrap().epoch, Epoch(epoch));
        }
        let offset = usize::try_from(record(4).offset()).unwrap();
        file[offset + 30] = 0;
        assert_eq!(Record::newest(&file).unwrap().epoch, Epoch(3), "a torn record leaves the one before");
    }
}
