//! The suite for routers.

mod backends;
mod drains;
mod levels;
mod refusals;
mod requests;
mod rig;
mod stage;
mod suite;

pub use backends::Backends;
pub use rig::{Answer, Ask, Held, RouterRig};
pub use suite::router;
