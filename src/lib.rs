//! Puts a new version of a service live without losing a request, and gets back when it is bad.
//!
//! This crate is the facade: it re-exports `deployer-core` and, by feature, the backends.
#![doc = include_str!("../README.md")]

pub use deployer_core::*;

/// The embedded default: processes of this host behind an embedded reverse proxy.
#[cfg(feature = "local")]
pub use deployer_local as local;
