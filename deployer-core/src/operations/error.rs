//! Why something could not be known or asked.

use crate::{
    model::{DeploymentId, WorkloadId},
    ports::{JournalError, RequestError},
};

/// Why something could not be known or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The journals of the workload could not be listed.
    #[error("the journals of {workload} could not be read")]
    Journal {
        /// Which workload.
        workload: WorkloadId,
        /// The cause.
        #[source]
        source: JournalError,
    },
    /// There is nobody to ask.
    #[error("nothing can be asked of {workload}: {why}")]
    NothingOpen {
        /// Which workload.
        workload: WorkloadId,
        /// What is there instead, and what can be done.
        why: String,
    },
    /// Nobody said where requests are left.
    #[error("requests cannot be left anywhere; name the store that the deployment listens to in `requests`")]
    NoStore,
    /// The request could not be left.
    #[error("the request to deployment {deployment} could not be left")]
    Requests {
        /// Which deployment.
        deployment: DeploymentId,
        /// The cause.
        #[source]
        source: RequestError,
    },
    /// The release was never live, or too long ago.
    #[error("no rollback target in {workload}: {why}")]
    NoSuchRelease {
        /// Which workload.
        workload: WorkloadId,
        /// What there is instead.
        why: String,
    },
}
