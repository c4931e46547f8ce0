//! Whole pipelines by the production engine in the fake world, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test")]

mod after_crash;
mod built_in;
mod order;
mod requests;
mod shop;
mod stuck;
#[path = "../support/mod.rs"]
mod support;
