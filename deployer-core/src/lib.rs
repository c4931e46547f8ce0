//! Model, strategies, ports, engine and journal of `deployer`. Knows no backend.

pub mod backups;
pub mod checks;
pub mod engine;
pub mod error;
pub mod event;
pub mod gates;
pub mod journal;
pub mod lock;
#[cfg(feature = "mock")]
pub mod mock;
pub mod model;
pub mod operations;
pub mod pipeline;
pub mod ports;
mod process;
pub mod redact;
pub mod requests;
pub mod strategy;
