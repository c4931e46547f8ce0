//! One nginx: what it can do, who it is, how it is asked, tested and reloaded.

mod capabilities;
mod command;
mod control;
mod handle;
mod includes;
mod lock;
mod master;
pub(crate) mod process;
mod reload;
mod staging;

pub use capabilities::{Ability, ServerCapabilities, Version};
pub(crate) use command::run;
pub use control::ControlAnswer;
pub use handle::Server;
pub(crate) use lock::FileLock;
pub use master::{Master, Worker, WorkerState};
