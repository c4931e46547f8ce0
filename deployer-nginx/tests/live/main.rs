//! The live router with a real nginx.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
mod rig;
#[path = "../support/mod.rs"]
mod support;
