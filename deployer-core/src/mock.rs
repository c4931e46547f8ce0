//! Mocks of all ports, made with `mockall`. Outside semantic versioning.

pub use crate::ports::{
    MockBackupProvider, MockClock, MockGate, MockHealthCheck, MockJournal, MockLock, MockMetricSource,
    MockNotifier, MockRequestStore, MockSecretSource, MockTarget, MockTrafficRouter,
};
