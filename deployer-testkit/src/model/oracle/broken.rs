//! What an oracle says.

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Broken {
    /// Which promise.
    pub(in super::super) oracle: &'static str,
    /// How.
    pub(in super::super) what: String,
}

impl Broken {
    pub(in super::super) fn new(oracle: &'static str, what: impl Into<String>) -> Self {
        Self { oracle, what: what.into() }
    }
}
