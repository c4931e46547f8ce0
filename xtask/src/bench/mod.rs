//! `cargo xtask bench`: the figures of README and docs.

mod cpu;
mod decisions;
mod rollout;
mod run;

pub(crate) use run::run;
