//! The suite for backup providers.

mod creates;
mod looks;
mod prunes;
mod refusals;
mod restores;
mod rig;
mod secrets;
mod stage;
mod suite;

pub use rig::{BackupRig, BackupStand, Damage};
pub use suite::backup;
