//! The embedded default of `deployer`: processes of this host behind an embedded reverse proxy.
//!
//! One helper process per directory owns the instances *and* the listeners: it starts, reaps and restarts
//! processes, keeps their output in files of limited size, kills them after their grace, and refuses callers whose
//! time is over. [`LocalTarget`] and [`LocalRouter`] are two clients of its unix socket. The helper is this very
//! program, started once more: [`init`] as the first line of `main` makes that possible.
//!
//! ```standalone_crate
//! use deployer_core::{
//!     model::{DeploymentId, Epoch, PinnedRelease, ReleaseId, SetId, SetSpec, WorkloadId},
//!     ports::{CallContext, Target as _},
//! };
//! use deployer_local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     deployer_local::init();
//!     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//!     runtime.block_on(async {
//!         let parent = tempfile::tempdir()?;
//!         let host = LocalHost::start(LocalSettings::new(parent.path().join("helper"))).await?;
//!         let target = host.target();
//!         let context = CallContext {
//!             workload: WorkloadId::new("web")?,
//!             deployment: DeploymentId::new("first")?,
//!             epoch: Epoch(1),
//!             deadline: std::time::Duration::from_secs(10),
//!         };
//!
//!         let release = ProcessSpec::new("/bin/sleep").argument("60").release(ReleaseId::new("v1")?);
//!         let artifact = target.prepare(&context, &release).await?;
//!         let set = SetId::from(&release.id);
//!         let spec = SetSpec { set, replicas: 2, remove_first: Vec::new() };
//!         target.apply(&context, &PinnedRelease { release, artifact }, &spec).await?;
//!
//!         let view = target.observe(&context).await?;
//!         assert_eq!(view.sets[0].instances.len(), 2);
//!         host.shutdown(OnShutdown::StopInstances, std::time::Duration::from_secs(10)).await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! The helper can be asked by hand: `curl --unix-socket <directory>/socket http://helper/v1/workloads/web`.
//!
//! # What survives what
//! - **The deployer dies**: nothing changes. The helper is in a session of its own and nobody's child.
//! - **The helper dies**: instances go on, and write their output on. The next call of any client starts a new
//!   helper from `state.json`, which takes over instances by process number and start time, binds the listeners
//!   again and restores their splits before it answers. Until that call nobody listens: connections are refused,
//!   and requests in flight at that moment are lost. How an instance that was taken over ends is not known, only
//!   that it did.
//! - **The host restarts**: the next call starts a new helper, which treats all instances as failed and starts them
//!   again by their restart policy.
//!
//! Where a service manager kills all processes of a unit at its end (`KillMode=control-group`), a helper started
//! from that unit, and its instances, go with it; give the deployer `KillMode=process` or the helper a unit of its
//! own.

#[cfg(not(target_os = "linux"))]
compile_error!("deployer-local needs Linux 5.3 or newer: process handles and child subreapers");

mod client;
mod directory;
mod helper;
mod host;
mod identity;
mod init;
mod launch;
mod metrics;
mod pin;
mod protocol;
pub mod proxy;
mod router;
mod settings;
mod spec;
mod target;
mod validate;

pub use host::{LocalHost, OnShutdown};
pub use init::init;
pub use metrics::LocalMetrics;
pub use router::LocalRouter;
pub use settings::{HelperProgram, LocalSettings};
pub use spec::{PortChoice, ProcessSpec, RestartPolicy};
pub use target::LocalTarget;
