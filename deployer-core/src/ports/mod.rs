//! The traits that users implement. Object safe, no default methods, capabilities as data, the context first.

mod backup;
mod clock;
mod context;
mod gate;
mod health;
mod journal;
mod lock;
mod metrics;
mod notifier;
mod requests;
mod router;
mod secret;
mod target;

pub use backup::{
    Backup, BackupProvider, BackupRequest, BackupSource, Confirmation, Preflight, RestorePlace,
    RestoreReport, RestoreTo, VerifyLevel,
};
pub use clock::{Clock, SystemClock};
pub use context::CallContext;
pub use gate::{Gate, GateAnswer, GateWindow};
pub use health::HealthCheck;
pub use journal::{Journal, JournalError};
pub use lock::{Lock, LockError, LockGrant};
pub use metrics::{Counts, MetricSource};
pub use notifier::Notifier;
pub use requests::{PostedRequest, RequestError, RequestStore};
pub use router::TrafficRouter;
pub use secret::{Secret, SecretSource};
pub use target::{Changes, Target};

#[cfg(feature = "mock")]
pub use self::{
    backup::MockBackupProvider, clock::MockClock, gate::MockGate, health::MockHealthCheck,
    journal::MockJournal, lock::MockLock, metrics::MockMetricSource, notifier::MockNotifier,
    requests::MockRequestStore, router::MockTrafficRouter, secret::MockSecretSource, target::MockTarget,
};

/// What a call to a backend returns.
pub type Result<T> = std::result::Result<T, crate::error::BackendError>;
