//! A promise that was broken.

use std::fmt;

use deployer_core::model::Timestamp;

/// A promise that was broken, which must never happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which promise.
    pub oracle: &'static str,
    /// When.
    pub at: Timestamp,
    /// How.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.oracle, self.at, self.what)
    }
}
