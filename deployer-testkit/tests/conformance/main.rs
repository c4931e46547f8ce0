//! The suites pass what keeps its contract, and name what does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod worlds;
