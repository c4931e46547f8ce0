//! Work that blocks a thread: it stops soon after its deadline, or after nobody waits for it any more.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::failure::failure;
use crate::{
    error::{BackendError, ErrorKind},
    ports::{CallContext, Result},
};

/// How much is read or written between two looks at the deadline.
pub(super) const CHUNK: usize = 256 * 1024;

/// What a piece of work knows of its caller. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Work {
    operation: Arc<str>,
    until: Instant,
    allowed: Duration,
    stopped: Arc<AtomicBool>,
}

impl Work {
    /// Ends a little before the caller's deadline, so that it says itself what it was doing.
    pub(super) fn new(context: &CallContext, operation: impl Into<Arc<str>>) -> Self {
        let allowed =
            context.deadline.saturating_sub((context.deadline / 10).min(Duration::from_millis(100)));
        let now = Instant::now();
        // A deadline beyond the range of the clock is as good as a day.
        let until = now.checked_add(allowed).unwrap_or(now + Duration::from_secs(24 * 60 * 60));
        Self { operation: operation.into(), until, allowed, stopped: Arc::default() }
    }

    /// When it has to be over.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Asked for between any two chunks.
    pub(super) fn check(&self) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(self.error(ErrorKind::TimedOut, "nobody waits for it any more, so it was stopped"));
        }
        if Instant::now() >= self.until {
            let message =
                format!("it was not done within {:?}, so it was stopped: allow more time", self.allowed);
            return Err(self.error(ErrorKind::TimedOut, message));
        }
        Ok(())
    }

    /// A point at which the process may die; a test makes it do so at each.
    pub(super) fn step(&self) -> Result<()> {
        #[cfg(test)]
        super::tests_kill::step();
        self.check()
    }

    /// An error of this work.
    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> BackendError {
        BackendError::new(kind, &*self.operation, message)
    }

    /// An error of the operating system in this work.
    pub(super) fn failed(&self, doing: &str, path: &Path, error: io::Error) -> BackendError {
        failure(&self.operation, doing, path, error)
    }
}

/// An answer of the operating system becomes one of this work.
pub(super) trait Doing<T> {
    /// What was being done, and to what: `could not {doing} {path}`.
    fn doing(self, work: &Work, doing: &str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, work: &Work, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|error| work.failed(doing, path, error.into()))
    }
}

/// Does it on a thread that may block. If this is dropped the work stops at its next look.
pub(super) async fn blocking<T: Send + 'static>(
    work: &Work,
    body: impl FnOnce(&Work) -> Result<T> + Send + 'static,
) -> Result<T> {
    // One flag for each piece, so that the end of one does not stop the next.
    let own = Work { stopped: Arc::default(), ..work.clone() };
    let _stop = StopOnDrop(Arc::clone(&own.stopped));
    let done = tokio::task::spawn_blocking(move || body(&own)).await;
    done.unwrap_or_else(|error| Err(work.error(ErrorKind::Unexpected, "it broke off").with_source(error)))
}

#[derive(Debug)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
