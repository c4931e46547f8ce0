//! Who is told.

use async_trait::async_trait;

use super::Result;
use crate::event::Event;

/// Who is told of events. Best effort and off the critical path: it never changes the outcome.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Notifier: std::fmt::Debug + Send + Sync + 'static {
    /// Tells of one event.
    ///
    /// # Errors
    /// It could not be delivered; this is logged and nothing else.
    async fn notify(&self, event: &Event) -> Result<()>;
}
