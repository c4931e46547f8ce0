//! The helper process: owns the instances and the proxies of one directory.

mod data_plane;
mod fence;
mod instance;
mod instance_run;
mod lifecycle;
mod log;
mod output;
mod plan;
mod ports;
mod process;
mod restore;
mod routes;
mod run;
mod server;
mod spawn;
mod state;
mod supervisor;
mod traffic;

pub(crate) use run::{Role, be_helper};
