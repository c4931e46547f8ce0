//! What nginx, the system or a person refuses: the old configuration goes on serving, and the error says why.

#[path = "../support/mod.rs"]
mod support;

mod configuration;
mod disk;
mod process;
mod values;
