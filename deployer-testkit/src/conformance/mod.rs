//! Suites that tell whether an implementation of a port keeps its contract, for those who write one.

mod backup;
mod check;
mod clock;
mod deployment;
mod gate;
mod health;
mod journal;
mod lock;
mod metrics;
mod notifier;
mod report;
mod router;
mod sample;
mod scope;
mod secret;
mod target;

pub use backup::{BackupRig, BackupStand, backup};
pub use clock::clock;
pub use deployment::{DeploymentRig, deployment};
pub use gate::{GateCase, GateRig, gate, gate_window};
pub use health::{HealthCase, HealthRig, health};
pub use journal::{JournalRig, journal};
pub use lock::{LockRig, lock};
pub use metrics::{MetricRig, metrics};
pub use notifier::{NotifierRig, notifier};
pub use report::{CheckOutcome, CheckReport, ConformanceReport};
pub use router::{Answer, Ask, Backends, Held, RouterRig, router};
pub use sample::instance;
pub use secret::{SecretRig, secrets};
pub use target::{RealInstance, ReleaseKind, TargetRig, target};
