//! How a workload is doing, as far as journal and lock know.

use serde::{Deserialize, Serialize};

use super::{OpenDeployment, PastDeployment};
use crate::{
    error::LockHolder,
    model::{DeploymentId, ReleaseId, Timestamp, WorkloadId},
};

/// A journal that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// Why not.
    pub why: String,
}

/// Who holds the lock of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockStatus {
    /// No lock was named.
    NotAsked,
    /// Nobody.
    Free,
    /// Somebody, who may be dead.
    Held(LockHolder),
    /// It could not be found out.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl LockStatus {
    /// Whether a living process holds it; `None` if that is not known.
    pub fn is_held(&self) -> Option<bool> {
        match self {
            Self::NotAsked | Self::Unknown { .. } => None,
            Self::Free => Some(false),
            Self::Held(holder) => Some(!holder.dead),
        }
    }
}

/// The release that is live, as far as the journals know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRelease {
    /// Which.
    pub release: ReleaseId,
    /// What it resolved to.
    pub digest: String,
    /// How many instances there were to be.
    pub replicas: u32,
    /// Which deployment put it live.
    pub deployment: DeploymentId,
    /// When that one wrote its last record.
    pub since: Timestamp,
}

/// How a workload is doing, as far as journal and lock know. Nobody is asked who runs instances or routes requests.
///
/// Its `Display` is that for people, in several lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which workload.
    pub workload: WorkloadId,
    /// Who holds its lock.
    pub lock: LockStatus,
    /// What is live; `None` if nothing ever was, or it was removed.
    pub live: Option<LiveRelease>,
    /// The newest deployment, if it has not ended.
    pub open: Option<OpenDeployment>,
    /// The newest deployment that has ended.
    pub last: Option<PastDeployment>,
    /// Journals that could not be read on the way. They hide no others.
    pub unreadable: Vec<Unreadable>,
}
