//! Suites that tell whether an implementation of a port keeps its contract, for those who write one.
//!
//! The ports are small, and what a deployment relies on is in their documentation: levels that may be said twice,
//! errors that are no empty views, fences, proofs that are true. Each suite checks all of that and says of every check
//! that fails what was seen, what was expected, and what would go wrong in a deployment. What an implementation does
//! not claim to do by its capabilities, and what a rig cannot show, is reported as not applicable, never left out.
//!
//! | port | suite | rig |
//! |---|---|---|
//! | `Target` | [`target`](target()) | [`TargetRig`] |
//! | `TrafficRouter` | [`router`](router()) | [`RouterRig`], [`Backends`] |
//! | target and router together | [`deployment`](deployment()) | [`DeploymentRig`] |
//! | `HealthCheck` | [`health`](health()) | [`HealthRig`] |
//! | `BackupProvider` | [`backup`](backup()) | [`BackupRig`], [`BackupStand`] |
//! | `Journal` | [`journal`](journal()) | [`JournalRig`] |
//! | `Lock` | [`lock`](lock()) | [`LockRig`] |
//! | `Gate` | [`gate`](gate()) | [`GateRig`] |
//! | `MetricSource` | [`metrics`](metrics()) | [`MetricRig`] |
//! | `SecretSource` | [`secrets`] | [`SecretRig`] |
//! | `Clock` | [`clock`](clock()) | none |
//! | `Notifier` | [`notifier`](notifier()) | [`NotifierRig`] |
//!
//! A rig is a few lines that say how to get at the implementation; [`target`](target()) has a whole one. A test is then
//! `conformance::target(&rig).await.assert()`. Suites need a tokio runtime with time; with paused time they run in the
//! virtual time of a fake.

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

pub use backup::{BackupRig, BackupStand, Damage, backup};
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
