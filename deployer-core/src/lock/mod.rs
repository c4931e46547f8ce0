//! Who may write: locks in files and in memory.

mod file;
mod generation;
mod memory;
mod record;

pub use file::FileLock;
pub use memory::MemoryLock;

pub(crate) use record::owner;
