//! Backups of real files and by real programs.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod command;
mod faults;
mod files;
mod restore;
mod support;
