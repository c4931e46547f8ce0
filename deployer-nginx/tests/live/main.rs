//! The live router with a real nginx.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod conformance;
mod races;
mod retries;
mod rig;
mod shares;
mod splits;
#[path = "../support/mod.rs"]
mod support;
mod survival;
