//! Where other processes leave what they ask of a running deployment: in files and in memory.

mod file;
mod memory;

pub use file::FileRequests;
pub use memory::MemoryRequests;
