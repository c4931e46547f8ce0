//! nginx as a traffic router of `deployer`: switches that are proven.
//!
//! A reload of nginx returns before anything has happened, keeps the old configuration silently when the new one is
//! refused, and leaves old workers that still send requests to old instances. [`ReloadRouter`] therefore tests what it
//! writes before it installs it, signals exactly the right master, asks on new connections which generation answers,
//! looks at the old workers, and puts the old file back when nginx refuses.
//!
//! It writes below one directory of its own, of which the nginx configuration includes two files by hand:
//!
//! ```nginx
//! http {
//!     include /etc/nginx/deployer/http.conf;
//!     server {
//!         listen 80;
//!         location / {
//!             include /etc/nginx/deployer/locations/web.conf;
//!         }
//!     }
//! }
//! ```
//!
//! Where nginx has its Lua module no reload is needed: [`LiveRouter`] tells the running nginx the split on a socket, and
//! a little Lua picks the member of each request. Connections of clients are not touched, requests in flight are counted
//! exactly, and [`LiveMetrics`] has counts for gates. [`Server::choice`] says which of the two an nginx can have and why,
//! [`NginxSettings::router`] overrides it, and [`Server::router`] gives it.
//!
//! [`OwnServer`] starts an nginx of one's own in a folder, without root, where all this is done already.

#[cfg(not(target_os = "linux"))]
compile_error!("deployer-nginx needs Linux 5.3 or newer: process handles and /proc");

pub mod adopt;
mod base;
mod checksum;
mod choice;
pub mod config;
mod durable;
mod error;
mod live;
pub mod metrics;
mod names;
mod own;
mod paths;
mod reload;
mod server;
mod settings;
pub mod site;
pub mod syntax;

pub use choice::{Choice, RouterKind};
pub use live::LiveRouter;
pub use metrics::LiveMetrics;
pub use own::{OwnServer, OwnSettings};
pub use paths::Paths;

pub use reload::ReloadRouter;
pub use server::{Ability, ControlAnswer, Master, Server, ServerCapabilities, Version, Worker, WorkerState};
pub use settings::{NginxSettings, Stickiness, Weighting};
