//! The file of a workload: what was accepted, who accepted it, and what nginx reads.

use deployer_core::model::{Epoch, Split};

use crate::checksum::sha256;

const FORMAT: &str = "# deployer-nginx 1";
const WARNING: &str =
    "# Written by deployer. A change by hand is noticed, and stops deployments of this workload.";

/// The file of a workload: what was accepted, who accepted it, and what nginx reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadFile {
    /// The largest epoch seen.
    pub epoch: Epoch,
    /// The number of the configuration.
    pub generation: u64,
    /// What was accepted.
    pub split: Split,
    /// What nginx reads.
    pub content: String,
}

/// Why a file is not one that this library has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DamagedFile {
    /// Its checksum is that of another text.
    #[error("it was edited by somebody else")]
    Edited,
    /// It has no checksum where it should.
    #[error("it was not written by this version of deployer")]
    Foreign,
}

impl WorkloadFile {
    /// The whole text.
    pub fn text(&self) -> String {
        let split = serde_json::to_string(&self.split).unwrap_or_default();
        let rest = format!(
            "{WARNING}\n# epoch {}\n# generation {}\n# split {split}\n{}",
            self.epoch, self.generation, self.content
        );
        format!("{FORMAT}\n# sha256 {}\n{rest}", sha256(&rest))
    }

    /// Reads what [`text`](Self::text) wrote.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, DamagedFile> {
        let rest = text.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix("\n# sha256 "));
        let (sum, rest) = rest.and_then(|rest| rest.split_once('\n')).ok_or(DamagedFile::Foreign)?;
        if sum != sha256(rest) {
            return Err(DamagedFile::Edited);
        }
        Self::parse_rest(rest).ok_or(DamagedFile::Foreign)
    }

    /// Reads what somebody edited, as far as it still says what it is.
    pub(crate) fn parse_edited(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("\n# sha256 ")?.1.split_once('\n')?;
        Self::parse_rest(rest)
    }

    fn parse_rest(rest: &str) -> Option<Self> {
        let (warning, rest) = rest.split_once('\n')?;
        let (epoch, rest) = rest.strip_prefix("# epoch ")?.split_once('\n')?;
        let (generation, rest) = rest.strip_prefix("# generation ")?.split_once('\n')?;
        let (split, content) = rest.strip_prefix("# split ")?.split_once('\n')?;
        (warning == WARNING).then_some(())?;
        Some(Self {
            epoch: Epoch(epoch.parse().ok()?),
            generation: generation.parse().ok()?,
            split: serde_json::from_str(split).ok()?,
            content: content.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back_and_every_edit_is_noticed() {
        let file = WorkloadFile {
            epoch: Epoch(7),
            generation: 3,
            split: Split::EMPTY,
            content: "map \"\" $a {\n}\n".to_owned(),
        };
        let text = file.text();
        assert_eq!(WorkloadFile::parse(&text), Ok(file));
        for position in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let edited = String::from_utf8_lossy(&bytes);
            assert!(WorkloadFile::parse(&edited).is_err(), "an edit at {position} was not noticed");
        }
        assert_eq!(WorkloadFile::parse(&text.replace("$a", "$b")), Err(DamagedFile::Edited));
        assert_eq!(WorkloadFile::parse("upstream a {}"), Err(DamagedFile::Foreign));
        assert_eq!(WorkloadFile::parse(&format!("{text}\n")), Err(DamagedFile::Edited));
    }
}
