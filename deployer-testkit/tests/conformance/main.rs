//! The suites pass what keeps its contract, and name what does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backups;
mod checks;
mod fake;
mod planted;
mod planted_backups;
mod planted_requests;
mod planted_stores;
mod stores;
mod worlds;
