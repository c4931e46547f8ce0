//! The suite for whole deployments on a backend.

mod recipe;
mod rig;
mod run;
mod suite;

pub use rig::DeploymentRig;
pub use suite::deployment;
