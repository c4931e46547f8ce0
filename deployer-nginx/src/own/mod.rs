//! An nginx of one's own in a folder, without root.

mod render;
mod server;
mod settings;

pub use server::OwnServer;
pub use settings::OwnSettings;
