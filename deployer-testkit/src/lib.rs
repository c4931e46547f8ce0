//! Fake world, load generator and model checker for testing what is built on `deployer`.

pub mod model;
