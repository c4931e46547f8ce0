//! Who gets which requests.

use async_trait::async_trait;

use super::{CallContext, Changes, Result};
use crate::model::{InFlight, Member, RouterCapabilities, Split, TrafficView};

/// Who gets which requests: an embedded proxy, nginx, a Service, a Gateway.
///
/// All calls are about [`CallContext::workload`]. No call waits for a settle or a drain.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TrafficRouter: std::fmt::Debug + Send + Sync + 'static {
    /// Its name in messages.
    fn name(&self) -> &str;

    /// What it can do. Constant for the life of the value.
    fn capabilities(&self) -> RouterCapabilities;

    /// Makes this the whole traffic of the workload, in one atomic step. Returns when it is accepted; whether the
    /// data plane follows is for [`current`](Self::current) to say.
    ///
    /// # Errors
    /// `Conflict` for an epoch older than the router has seen, or if somebody else edited what is ours;
    /// `InvalidInput` for a split that it cannot express.
    ///
    /// # Idempotence
    /// A level: saying it twice is saying it once, and the second time costs nothing.
    ///
    /// # Cancel safety
    /// If the call is dropped the split is the old one or the new one, never a mixture.
    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()>;

    /// The split that was accepted last ([`Split::EMPTY`] before the first), and whether the data plane follows it.
    ///
    /// # Errors
    /// The router could not be asked.
    async fn current(&self, context: &CallContext) -> Result<TrafficView>;

    /// Requests that these members are still answering, in the same order. Members may be out of the split.
    ///
    /// # Errors
    /// The router could not be asked.
    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>>;

    /// Hints that [`current`](Self::current) or [`in_flight`](Self::in_flight) may now say something else.
    ///
    /// # Errors
    /// The router has no such stream at the moment; the engine then looks at intervals.
    async fn watch(&self, context: &CallContext) -> Result<Changes>;
}
