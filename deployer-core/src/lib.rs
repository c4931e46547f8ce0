//! Model, strategies, ports, engine and journal of `deployer`. Knows no backend.

pub mod checks;
pub mod error;
pub mod event;
pub mod gates;
pub mod model;
pub mod ports;
pub mod strategy;
