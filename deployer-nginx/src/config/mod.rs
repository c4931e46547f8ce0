//! What is written for nginx: typed values, and the text that they become.

mod build;
mod check;
mod file;
mod model;
mod render;
mod weights;

pub use build::build;
pub use check::check;
pub(crate) use check::problems;
pub use file::{DamagedFile, WorkloadFile};
pub use model::{
    Closed, Keepalive, RouteConfig, Selection, SplitKey, SplitPart, Upstream, UpstreamMember, WorkloadConfig,
};
pub use render::{Unfaithful, render};
