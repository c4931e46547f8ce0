//! The stages of a deployment. At present one: the rollout.

mod rollout;

pub(crate) use rollout::{outline, run_rollout};
