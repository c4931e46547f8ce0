//! Where other processes leave what they ask of a running deployment.

use async_trait::async_trait;

use crate::{
    model::{DeploymentId, WorkloadId},
    strategy::{Posted, RequestKind},
};

/// Why a request cannot be posted or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A record is not what is written there.
    #[error("line {line} of {place} is no request: {why}")]
    Corrupt {
        /// Which line, from 1.
        line: usize,
        /// Which file or object.
        place: String,
        /// What is wrong with it.
        why: String,
    },
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

/// A request that another process left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedRequest {
    /// Its number, and who left it.
    pub posted: Posted,
    /// What is asked.
    pub kind: RequestKind,
}

/// Where other processes leave what they ask of a running deployment: beside its journal.
///
/// `home` is the first workload of the deployment in sorted order, with which its journal lies too.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RequestStore: std::fmt::Debug + Send + Sync + 'static {
    /// Leaves a request. Returns its number when it is durable. Numbers begin at 1 and have no gaps.
    ///
    /// # Errors
    /// The storage could not be written; the request may have been left all the same.
    async fn post(
        &self,
        home: &WorkloadId,
        deployment: &DeploymentId,
        kind: &RequestKind,
        by: &str,
    ) -> Result<u64, RequestError>;

    /// Requests with a larger number than this, in their order. It is called every half second and has to be cheap when
    /// there is nothing new.
    ///
    /// # Errors
    /// The storage could not be read.
    async fn since(
        &self,
        home: &WorkloadId,
        deployment: &DeploymentId,
        number: u64,
    ) -> Result<Vec<PostedRequest>, RequestError>;
}
