//! Where decisions are kept.

use async_trait::async_trait;

use crate::{
    event::Event,
    model::{DeploymentId, Epoch, WorkloadId},
};

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// No deployment of this name.
    #[error("deployment {0} has no journal")]
    NotFound(DeploymentId),
    /// A deployment of this name exists already.
    #[error("deployment {0} has a journal already; resume it or choose another name")]
    AlreadyExists(DeploymentId),
    /// Somebody with a newer epoch has written.
    #[error("epoch {have} is fenced: the journal is at epoch {newer}")]
    Fenced {
        /// Ours.
        have: Epoch,
        /// Theirs.
        newer: Epoch,
    },
    /// The event does not follow the last one.
    #[error("event {got} does not follow event {last}")]
    OutOfOrder {
        /// Number of the last event.
        last: u64,
        /// Number of the event given.
        got: u64,
    },
    /// A record inside is not what was written.
    #[error("record {record} of {place} is damaged: {why}; look at it with `journal verify`")]
    Corrupt {
        /// Number of the record, from 0.
        record: u64,
        /// Which file or object.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// Written by a version that this one does not know.
    #[error("{place} has format {found}, this version reads up to {known}; use a newer version")]
    NewerFormat {
        /// Which file or object.
        place: String,
        /// Its format.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// A write failed before; nothing can be trusted to be durable any more.
    #[error("the journal is poisoned by an earlier failed write; restart and resume")]
    Poisoned,
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

/// Where decisions are kept. Journal, audit trail and event log are one stream of [`Event`]s per deployment,
/// hash-chained, numbered without gaps.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Journal: std::fmt::Debug + Send + Sync + 'static {
    /// Begins the journal of a deployment of these workloads, at least one, with its first event. Returns when that is
    /// durable. From then on each of the workloads lists it.
    ///
    /// # Errors
    /// The deployment has a journal already.
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> Result<(), JournalError>;

    /// Appends one event. Returns only when it is durable.
    ///
    /// # Errors
    /// `Fenced` for an epoch older than the last written, `OutOfOrder` for a gap; after an I/O error `Poisoned` for ever.
    ///
    /// # Idempotence
    /// None: an event is appended once. After an error the journal is loaded anew to see what became durable.
    async fn append(&self, event: &Event) -> Result<(), JournalError>;

    /// All durable events of a deployment.
    ///
    /// # Errors
    /// `Corrupt` where the chain does not hold; an unterminated last record is dropped instead.
    async fn load(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError>;

    /// The deployments of a workload, oldest first. Those whose beginning cannot be read come last: they may be the
    /// newest.
    ///
    /// # Errors
    /// The storage could not be listed.
    async fn list(&self, workload: &WorkloadId) -> Result<Vec<DeploymentId>, JournalError>;

    /// The largest epoch that any journal of this workload was written with.
    ///
    /// # Errors
    /// The storage could not be read.
    async fn last_epoch(&self, workload: &WorkloadId) -> Result<Epoch, JournalError>;
}
