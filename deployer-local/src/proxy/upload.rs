//! The body of a request on its way to a member.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// The body of a request; passed on as it comes, never stored.
#[derive(Debug)]
pub(super) struct Upload {
    /// `None` for a request without body.
    body: Option<Incoming>,
    /// The same.
    progress: Option<Progress>,
}

/// How far an upload has come, seen from outside of it.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<AtomicU8>);

const RUNNING: u8 = 0;
const COMPLETE: u8 = 1;
const BROKEN: u8 = 2;

impl Progress {
    pub(super) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COMPLETE
    }

    /// The client left before its end.
    pub(super) fn is_broken(&self) -> bool {
        self.0.load(Ordering::Relaxed) == BROKEN
    }
}

impl Upload {
    pub(super) fn new(body: Incoming) -> (Self, Option<Progress>) {
        if body.is_end_stream() {
            return (Self::absent(), None);
        }
        let progress = Progress(Arc::new(AtomicU8::new(RUNNING)));
        (Self { body: Some(body), progress: Some(progress.clone()) }, Some(progress))
    }

    /// That of a request without body.
    pub(super) fn absent() -> Self {
        Self { body: None, progress: None }
    }

    fn note(&self, state: u8) {
        if let Some(progress) = &self.progress {
            progress.0.store(state, Ordering::Relaxed);
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) if self.is_end_stream() => self.note(COMPLETE),
            Poll::Ready(None) => self.note(COMPLETE),
            Poll::Ready(Some(Err(_))) => self.note(BROKEN),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
