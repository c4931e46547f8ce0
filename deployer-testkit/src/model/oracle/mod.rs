//! What must never happen, judged on the true world and written without a look at
//! [`deployer_core::strategy::invariant`].

mod acts;
mod capacity;
mod end;
mod memory;
mod resume;
mod traffic;

pub(super) use acts::act;
pub(super) use end::finish;
pub(super) use memory::advance;
pub(super) use resume::resume;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// Which promise.
    pub(super) oracle: &'static str,
    /// How.
    pub(super) what: String,
}

impl Broken {
    pub(super) fn new(oracle: &'static str, what: impl Into<String>) -> Self {
        Self { oracle, what: what.into() }
    }
}
