//! Finds its way in an nginx configuration that is there, and says which two lines to add. Nothing is written.
//!
//! ```no_run
//! # async fn adopt(server: &deployer_nginx::Server) -> Result<(), deployer_core::error::BackendError> {
//! use deployer_core::model::WorkloadId;
//! use deployer_nginx::adopt::{Existing, Find, advise};
//! let existing = Existing::of(server).await?;
//! let web = WorkloadId::new("web").expect("a name");
//! let advice = advise(server, &existing, &web, &Find::Upstream("backend".to_owned()))?;
//! println!("{advice}");
//! # Ok(())
//! # }
//! ```

mod advice;
mod existing;
mod files;
mod http_server;
mod service;
mod tree;

pub use advice::{Advice, Change, Removal, advise};
pub use existing::Existing;
pub use http_server::HttpServer;
pub use service::{Find, PassTo, Service, UpstreamGroup};
#[cfg(test)]
pub(crate) use tree::read;
pub use tree::{Place, Placed};
