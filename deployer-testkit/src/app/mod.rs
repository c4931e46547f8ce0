//! A small server to deploy: answers in a few milliseconds after its start, says which release it is, and misbehaves
//! on request. It is part of any program that calls [`run_if_asked`] first, so that examples and tests need no second
//! executable.

mod answers;
mod bodies;
mod entry;
mod server;
mod settings;
mod tunnel;

pub use entry::{MARKER, run_if_asked};
pub use settings::{AppError, AppSettings, Health, OnTerminate, Smoke};
