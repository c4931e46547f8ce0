//! `cargo xtask fuzz`: input that nobody would write, for everything that reads what others wrote.
//!
//! The targets are plain functions, so that they run on a stable toolchain; `fuzz/` has the same ones for `cargo fuzz`.

mod mutator;
mod run;
mod seeds;
mod targets;

pub(crate) use run::run;
