//! An HTTP/1.1 reverse proxy as a library: one listener, one workload, one [`Split`](deployer_core::model::Split)
//! that is swapped as a whole.
//!
//! What it promises, and what drains and switches are built on:
//! - When [`Proxy::set`] returns, every later request follows the new split, and every earlier one is counted
//!   in [`Proxy::in_flight`] until its answer has ended, its client has gone, or its tunnel is closed.
//! - A request is sent a second time only if it was never written, or if it is idempotent, has no body and was
//!   written to a kept connection that died under it. Bodies are never stored.
//! - With [`Stickiness`], raising a weight moves only the clients between the old and the new boundary.
//! - Requests of one set never go to another while the split has both.

mod answer;
mod body;
mod claim;
mod connection;
mod cookie;
mod ejection;
mod exchange;
mod forward;
mod handle;
mod headers;
mod histogram;
mod history;
mod listen;
mod member;
mod patience;
mod pool;
mod registry;
mod routing;
mod set;
mod settings;
mod shared;
mod stats;
mod stickiness;
mod stream;
mod tunnel;
mod upload;
mod validate;

pub use handle::Proxy;
pub use histogram::{BUCKETS, Histogram};
pub use settings::ProxySettings;
pub use stats::{MemberLoad, MemberStats, OwnAnswers, ProxyStats, SetStats};
pub use stickiness::{InvalidStickiness, Stickiness};
pub use validate::InvalidSplit;
