//! Checksums that tell whether a file is as we left it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut sum, byte| {
        let _ = write!(sum, "{byte:02x}");
        sum
    })
}
