//! Switches by reload.

mod acknowledge;
mod in_flight;
mod install;
mod router;
mod watch;

pub use router::ReloadRouter;
