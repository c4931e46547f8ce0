//! The body of an answer on its way to the client.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{claim::Claim, connection::Busy, pool::MemberConnection};

/// The body of an answer. While it lives the client's connection is busy.
#[derive(Debug)]
pub(super) struct AnswerBody {
    content: Content,
    _busy: Busy,
}

/// Where a body comes from.
#[derive(Debug)]
pub(super) enum Content {
    /// From the proxy itself.
    Own(Option<Bytes>),
    /// From a member.
    Member(MemberBody),
}

/// A body from a member. It holds the claim: the request is in flight until the body ended or was dropped.
pub(super) struct MemberBody {
    body: Incoming,
    source: Source,
    claim: Claim,
    most_idle: usize,
    /// Whether it is known how it ended, well or not.
    settled: bool,
    /// Ends the body although the member has not: for streams that outlive their member's place in the split.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What has to be polled for the body to go on.
#[derive(Debug)]
pub(super) enum Source {
    /// Nothing: all of it is there.
    Complete,
    /// The connection.
    Connection(Box<MemberConnection>),
    /// Nothing: a task drives the connection, because the request is still being sent. It ends with the body.
    Task { _until_dropped: DrivenBy },
}

/// A task that is aborted when this is dropped.
#[derive(Debug)]
pub(super) struct DrivenBy(tokio::task::JoinHandle<()>);

impl DrivenBy {
    pub(super) fn a_task(mut connection: Box<MemberConnection>) -> Self {
        Self(tokio::spawn(async move { std::future::poll_fn(|cx| connection.poll(cx)).await }))
    }
}

impl Drop for DrivenBy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl AnswerBody {
    pub(super) fn new(content: Content, busy: Busy) -> Self {
        Self { content, _busy: busy }
    }
}

impl MemberBody {
    pub(super) fn new(body: Incoming, source: Source, claim: Claim, most_idle: usize) -> Self {
        Self { body, source, claim, most_idle, settled: false, cut: None }
    }

    /// The same, ended when `cut` is ready.
    pub(super) fn until(mut self, cut: impl Future<Output = ()> + Send + 'static) -> Self {
        self.cut = Some(Box::pin(cut));
        self
    }
}

impl fmt::Debug for MemberBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberBody")
            .field("source", &self.source)
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

impl MemberBody {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Source::Connection(connection) = &mut self.source else {
            return Pin::new(&mut self.body).poll_frame(cx);
        };
        // As in `exchange`: whatever wakes the body happens inside the poll of the connection.
        let mut quiet = Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(&mut quiet) {
            return Poll::Ready(frame);
        }
        let ended = connection.poll(cx).is_ready();
        let polled = Pin::new(&mut self.body).poll_frame(&mut quiet);
        if ended {
            self.source = Source::Complete;
        }
        polled
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(cx).is_ready()
        {
            self.cut = None;
            self.settled = true;
            return Poll::Ready(None);
        }
        match self.poll_body(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.over();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                if self.body.is_end_stream() {
                    self.over();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.settled = true;
                self.claim.broke_off();
                Poll::Ready(Some(Err(io::Error::other(error))))
            }
        }
    }

    /// The body has ended as it should: the connection may serve others.
    fn over(&mut self) {
        if let Source::Connection(connection) = std::mem::replace(&mut self.source, Source::Complete)
            && connection.is_free()
        {
            self.claim.member().pool.put(connection, Instant::now(), self.most_idle);
        }
        // An end without a known length shows in no other way.
        self.settled = true;
    }
}

impl Drop for MemberBody {
    fn drop(&mut self) {
        if !self.settled && !self.body.is_end_stream() {
            self.claim.client_left();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match &mut self.content {
            Content::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Member(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_none(),
            Content::Member(body) => body.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Member(body) => body.body.size_hint(),
        }
    }
}
