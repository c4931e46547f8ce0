//! The identity of what runs: content of the executable, arguments, environment, directory and port.

use std::{collections::BTreeMap, fmt, fmt::Write as _, path::Path, sync::Arc};

use deployer_core::model::SecretRef;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::spec::{PortChoice, ProcessSpec};

/// The SHA-256 of a file as 64 hexadecimal digits; checked when it is read, as it becomes a file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ContentHash(String);

impl ContentHash {
    pub(crate) fn of(hasher: Sha256) -> Self {
        Self(hex(&hasher.finalize()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContentHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ok = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        if ok { Ok(Self(text)) } else { Err("a content hash is 64 hexadecimal digits".to_owned()) }
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> String {
        hash.0
    }
}

/// What an artifact of this target remembers: where its copy of the executable is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedExecutable {
    pub(crate) content: ContentHash,
}

/// A struct and not a JSON value: the order of its fields depends on no feature of another crate.
#[derive(Serialize)]
struct Parts<'a> {
    content: &'a ContentHash,
    executable: &'a Path,
    arguments: &'a [String],
    environment: &'a BTreeMap<String, String>,
    secrets: &'a BTreeMap<String, SecretRef>,
    working_directory: &'a Path,
    port: PortChoice,
}

/// `sha256:` of all that makes an instance what it is. How it is stopped, restarted and logged is no part of it.
pub(crate) fn digest(spec: &ProcessSpec, content: &ContentHash) -> Arc<str> {
    let parts = Parts {
        content,
        executable: &spec.executable,
        arguments: &spec.arguments,
        environment: &spec.environment,
        secrets: &spec.secrets,
        working_directory: &spec.working_directory,
        port: spec.port,
    };
    let text = serde_json::to_vec(&parts).unwrap_or_default();
    format!("sha256:{}", hex(&Sha256::digest(&text))).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_in_it_and_how_it_is_kept_is_not() {
        let content = ContentHash::of(Sha256::new_with_prefix("program"));
        let base = ProcessSpec::new("/bin/sleep");
        let same = |other: ProcessSpec| digest(&base, &content) == digest(&other, &content);
        assert!(same(base.clone().stop_grace(std::time::Duration::ZERO)));
        assert!(!same(base.clone().argument("1")));
        assert!(!same(base.clone().variable("A", "b")));
        assert!(!same(base.clone().working_directory("/tmp")));
        assert!(!same(base.clone().port(crate::PortChoice::None)));
        assert_ne!(digest(&base, &content), digest(&base, &ContentHash::of(Sha256::new())));
    }

    #[test]
    fn a_hash_is_never_a_path() {
        for text in ["", "../../../etc/passwd", &"A".repeat(64), &"/".repeat(64)] {
            assert!(ContentHash::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
