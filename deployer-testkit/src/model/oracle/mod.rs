//! What must never happen, judged on the true world and written without a look at
//! [`deployer_core::strategy::invariant`].

mod acts;
mod broken;
mod capacity;
mod end;
mod memory;
mod resume;
mod traffic;

pub(super) use acts::act;
pub(super) use broken::Broken;
pub(super) use end::finish;
pub(super) use memory::advance;
pub(super) use resume::resume;
