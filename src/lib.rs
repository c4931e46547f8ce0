//! Puts a new version of a service live without losing a request, and gets back when it is bad.
//!
//! This crate is the facade: it re-exports `deployer-core` and, by feature, the backends.
#![doc = include_str!("../README.md")]

#[cfg(feature = "signals")]
mod signals;

pub use deployer_core::*;
#[cfg(feature = "signals")]
pub use signals::run_until_signal;

/// The embedded default: processes of this host behind an embedded reverse proxy.
#[cfg(feature = "local")]
pub use deployer_local as local;

/// nginx as the traffic router: switches that are proven.
#[cfg(feature = "nginx")]
pub use deployer_nginx as nginx;
