//! Who may write.

use async_trait::async_trait;

use crate::{
    error::LockHolder,
    model::{DeploymentId, Epoch, WorkloadId},
};

/// Why a lock was not given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody has it.
    #[error("workload {workload} is locked by {} since {}", .holder.owner, .holder.since)]
    Held {
        /// Which workload.
        workload: WorkloadId,
        /// By whom.
        holder: LockHolder,
    },
    /// Somebody else took it over.
    #[error("the lock was taken over; this process must not write any more")]
    Lost,
    /// The storage failed.
    #[error("{operation} failed at {place}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// Which file or object.
        place: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// A lock that was given. Dropping it releases it.
pub trait LockGrant: std::fmt::Debug + Send + Sync {
    /// The epoch to write with: larger than all before it for each of the workloads.
    fn epoch(&self) -> Epoch;
}

/// Who may write to a workload.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Lock: std::fmt::Debug + Send + Sync + 'static {
    /// Takes the locks of all these workloads, in sorted order, or none.
    ///
    /// # Errors
    /// `Held` with the holder.
    ///
    /// # Cancel safety
    /// A dropped call holds nothing.
    async fn acquire(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError>;

    /// Makes sure that the grant of this epoch is still ours, and extends it where locks end by themselves.
    ///
    /// # Errors
    /// `Lost` if somebody took it over.
    async fn renew(&self, workloads: &[WorkloadId], epoch: Epoch) -> Result<(), LockError>;

    /// Who holds the lock of a workload.
    ///
    /// # Errors
    /// The storage could not be read.
    async fn holder(&self, workload: &WorkloadId) -> Result<Option<LockHolder>, LockError>;

    /// Takes the locks from an owner that is dead or has to go. The new epoch is durable before this returns, so
    /// that the old owner is fenced.
    ///
    /// # Errors
    /// `Held` if the owner is alive and this lock can prove it.
    async fn take_over(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError>;
}
