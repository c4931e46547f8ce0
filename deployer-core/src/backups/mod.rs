//! Backups of files and directories, and by programs that know a format.
//!
//! A backup is complete or it is not there: it is made under a name that no key can have, synced, and renamed. Every
//! one has a manifest with its checksum, its source and how far it was verified. A restore never touches live data: it
//! is made beside it, compared, and swapped in, and what was there is kept.

mod command;
mod command_run;
mod command_settings;
mod disk;
mod entry;
mod failure;
mod files;
mod line;
mod manifest;
mod pack;
mod restore;
mod retention;
mod room;
mod scan;
mod store;
#[cfg(test)]
mod tests_kill;
mod tree;
mod unpack;
mod work;

pub use command::CommandBackup;
pub use command_settings::CommandBackupBuilder;
pub use files::{DirectoryBackup, FileBackup};
pub use line::CommandLine;
