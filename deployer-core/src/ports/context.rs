//! What travels with every call to a backend.

use std::time::Duration;

use crate::model::{DeploymentId, Epoch, WorkloadId};

/// What travels with every call to a backend. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallContext {
    /// Which workload the call is about. Everything a backend creates is labelled with it.
    pub workload: WorkloadId,
    /// On whose behalf.
    pub deployment: DeploymentId,
    /// The right to write. A backend that can refuses a smaller one than it has seen, with
    /// [`ErrorKind::Conflict`](crate::error::ErrorKind::Conflict).
    pub epoch: Epoch,
    /// How long the caller will wait. The engine enforces it; backends use it to bound what they wait for inside.
    pub deadline: Duration,
}
