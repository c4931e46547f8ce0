//! Sites of an nginx that is there: linked, tested, reloaded, and put back if nginx refuses.
//!
//! ```no_run
//! # async fn install(server: deployer_nginx::Server) -> Result<(), Box<dyn std::error::Error>> {
//! use deployer_core::model::WorkloadId;
//! use deployer_nginx::site::{Site, Sites};
//! let site = Site::new("shop".parse()?, "0.0.0.0:80".parse()?)
//!     .server_name("shop.example".parse()?)
//!     .location("/".parse()?, WorkloadId::new("shop")?);
//! let report = Sites::debian(server).install(&site).await?;
//! for tls in report.untouched {
//!     println!("{} ends TLS for the same names and stays as it is", tls.place);
//! }
//! # Ok(())
//! # }
//! ```

mod content;
mod entry;
mod names;
mod sites;

pub use content::Site;
pub use names::{InvalidSiteText, LocationPath, ServerName, SiteName};
pub use sites::{SiteReport, Sites};
