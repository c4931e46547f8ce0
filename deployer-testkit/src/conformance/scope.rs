//! Names that nobody else uses.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deployer_core::{
    error::BackendError,
    model::{DeploymentId, Epoch, ReleaseId, SetId, WorkloadId},
    ports::CallContext,
};
use tokio::time::timeout;

use super::check::{Checked, failed, worked};

/// What most backends allow for names is much more than this.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A workload name that no other check of this process has, and, with its process number, no other process of this
/// host either.
pub(super) fn fresh_workload() -> WorkloadId {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    WorkloadId::new(format!("conf-{}-{number}", std::process::id()))
        .expect("letters, digits and dashes, at most 36")
}

/// A deployment name that no other check of this process has.
pub(super) fn fresh_deployment() -> DeploymentId {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    DeploymentId::new(format!("d-{}-{number}", std::process::id()))
        .expect("letters, digits and dashes, at most 33")
}

/// The deployment on whose behalf the checks call.
pub(super) fn deployment() -> DeploymentId {
    DeploymentId::new("conformance").expect("a constant that is a valid name")
}

pub(super) fn release_id(name: &str) -> ReleaseId {
    ReleaseId::new(name).expect("the suites use plain names only")
}

pub(super) fn set_id(name: &str) -> SetId {
    SetId::new(name).expect("the suites use plain names only")
}

/// What travels with the calls of a check.
pub(super) fn context(workload: &WorkloadId, epoch: u64, deadline: Duration) -> CallContext {
    CallContext { workload: workload.clone(), deployment: deployment(), epoch: Epoch(epoch), deadline }
}

/// The answer of a call, which has to come within twice its deadline: a call that hangs is a failure of its own.
pub(super) async fn within<T>(what: &str, deadline: Duration, call: impl Future<Output = T>) -> Checked<T> {
    let limit = deadline * 2;
    let late =
        || failed(format!("{what} did not return within {limit:?}"), format!("{what} returns in time"));
    timeout(limit, call).await.map_err(|_| late())
}

/// The value of a call that has to work, in time.
pub(super) async fn works<T>(
    what: &str,
    deadline: Duration,
    call: impl Future<Output = Result<T, BackendError>>,
) -> Checked<T> {
    worked(what, within(what, deadline, call).await?)
}
