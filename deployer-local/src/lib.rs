//! The embedded default of `deployer`: processes on this host behind an embedded reverse proxy.

pub mod proxy;
