//! The suite for targets.

mod artifacts;
mod endings;
mod fences;
mod interrupted;
mod rig;
mod sizes;
mod stage;
mod suite;
mod truth;

pub use rig::{RealInstance, ReleaseKind, TargetRig};
pub use suite::target;
