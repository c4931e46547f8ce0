//! `cargo xtask bench`: the figures of README and docs.

mod cpu;
mod decisions;
mod fleet;
mod nginx;
mod rollout;
mod run;

pub(crate) use run::run;
