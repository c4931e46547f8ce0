//! Ports that fail, repeat, lose answers or kill on purpose, wrapped around those that are tested.
//!
//! A [`Wrapped`] port tells an [`Injector`] of each call before it is made and before its answer goes back, and does
//! what that says. Nothing of it is known to the code under test.

mod call;
mod injector;
mod journal;
mod lock;
mod plans;
mod probe;
mod router;
mod target;
mod wrapped;

pub use call::{PortCall, PortKind};
pub use injector::{After, Before, Injector};
pub use plans::{AtCall, EachTwice, Harmless};
pub use wrapped::Wrapped;
