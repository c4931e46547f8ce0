//! Where decisions are kept: one hash-chained stream of [events](crate::event::Event) per deployment, in memory or
//! in a file.

mod codec;
mod disk;
mod file;
mod memory;
mod reader;
mod storage;

pub use codec::FORMAT;
pub use file::FileJournal;
pub use memory::MemoryJournal;
pub use reader::{Contents, read};

pub(crate) use codec::hex;
pub(crate) use file::last_epoch_in;
