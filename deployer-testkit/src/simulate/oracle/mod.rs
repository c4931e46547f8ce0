//! What must never happen, judged on what went past the witnesses and on the true world, and written without a look at
//! [`deployer_core::strategy::invariant`]. The numbers are those of the design's invariants.
//!
//! Not judged here: the backup gate (13) and the point of no return (14), which a rollout has no part in.

mod budget;
mod end;
mod event;
mod truth;
mod write;

pub(super) use end::{ended, settled};
pub(super) use event::event;
pub(super) use truth::{CANARY, audit, truth};
pub(super) use write::write;
