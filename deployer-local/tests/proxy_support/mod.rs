//! Backends, clients and splits for the tests of the proxy.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses another part")]

mod backend;
mod client;
mod dead;
mod raw;
mod splits;
mod wait;

pub use backend::{Answer, Backend, Handler, Seen, text};
pub use client::{Client, Reply};
pub use dead::Dead;
pub use raw::{RawBackend, exchange_raw, read_head, read_to_end};
pub use splits::{instance, member, serve, set, share, start, start_with};
pub use wait::{eventually, within};
