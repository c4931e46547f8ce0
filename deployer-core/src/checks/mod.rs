//! Health checks: over HTTP, over TCP, by a program, by a closure, and combinations of them.
//!
//! A check probes exactly the address that the target reported for an instance. No name is looked up, no redirect is
//! followed, and what an instance sends back costs at most a fixed amount of memory and the deadline of the call.
//!
//! All checks agree on what they know. An instance that was reached and did not do what it should is
//! [`Failed`](crate::strategy::Probe::Failed), one that listens to nobody too. What says nothing about the instance
//! (no address, no route, no free port on this side, a program that cannot be started) is
//! [`Unknown`](crate::strategy::Probe::Unknown).

mod combine;
mod connect;
mod exec;
mod expect;
mod function;
mod http;
mod http_call;
mod http_settings;
mod identity;
mod tcp;
#[cfg(test)]
pub(crate) mod tests_support;

pub use combine::{And, HealthCheckExt, Not, Or, Shared};
pub use exec::{ExecCheck, ExecCheckBuilder, ExecSettings};
pub use expect::StatusRange;
pub(crate) use expect::quoted;
pub use function::{FnCheck, check_fn};
pub use http::HttpCheck;
pub use http_settings::{HttpCheckBuilder, HttpSettings};
pub use identity::{AnswerField, Compute, Expected, IdentityCheck};
pub use tcp::{TcpCheck, TcpSettings};
