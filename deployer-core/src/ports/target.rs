//! Where instances run.

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{CallContext, Result};
use crate::model::{
    Artifact, Evidence, InstanceId, PinnedRelease, Release, SetId, SetSpec, TargetCapabilities, WorkloadView,
};

/// A stream of hints that something may have changed. It carries no facts: look again. It may end or be lossy.
pub type Changes = BoxStream<'static, ()>;

/// Where instances run: processes on this host, containers of a daemon, pods of a cluster.
///
/// All calls are about [`CallContext::workload`]. All are levels, so each may be repeated at any time.
/// A dropped call may or may not have happened: the engine looks again.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Target: std::fmt::Debug + Send + Sync + 'static {
    /// Its name in messages.
    fn name(&self) -> &str;

    /// What it can do. Constant for the life of the value.
    fn capabilities(&self) -> TargetCapabilities;

    /// Looks at everything of this workload: all sets, whoever made them.
    ///
    /// # Errors
    /// Nothing could be looked at. A place that could not is reported as unknown inside the view instead.
    async fn observe(&self, context: &CallContext) -> Result<WorkloadView>;

    /// Makes ready to start this release, and resolves it to an artifact for good: pull, admit, hash. Touches no
    /// instance.
    ///
    /// # Errors
    /// `InvalidInput` for a config that this target does not understand, with all problems in the message;
    /// `NotFound` for an artifact that does not exist.
    ///
    /// # Idempotence
    /// The same release resolves to the same artifact, or fails if it cannot.
    async fn prepare(&self, context: &CallContext, release: &Release) -> Result<Artifact>;

    /// Gives a set a size. Returns when that is accepted; instances then read as starting or stopping.
    ///
    /// Instances that ended are replaced: `replicas` counts those that are starting or running. Those that shrink
    /// away are told to stop and killed after the target's grace time. What is due later (a kill, a removal) is done
    /// without a further call, or by the next `apply`.
    ///
    /// # Errors
    /// `Conflict` for an epoch older than the target has seen; `AlreadyExists` if the set exists with another
    /// artifact.
    ///
    /// # Idempotence
    /// A level: saying it twice is saying it once.
    ///
    /// # Cancel safety
    /// If the call is dropped the set may have the old size, the new one, or one between.
    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()>;

    /// Removes a set with everything that belongs to it. Instances that still run are told to stop first and then
    /// read as stopping. A set that does not exist is removed.
    ///
    /// # Errors
    /// `Conflict` for an epoch older than the target has seen.
    ///
    /// # Idempotence
    /// A level: saying it twice is saying it once.
    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()>;

    /// Hints that [`observe`](Self::observe) may now see something else.
    ///
    /// # Errors
    /// The target has no such stream at the moment; the engine then looks at intervals.
    async fn watch(&self, context: &CallContext) -> Result<Changes>;

    /// What is known of an instance: its last output, how it ended, what the platform noted. Works for instances
    /// that ended, until their set is applied or removed.
    ///
    /// # Errors
    /// `NotFound` if nothing is known any more.
    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence>;
}
