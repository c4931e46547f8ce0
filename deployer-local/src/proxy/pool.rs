//! Connections to one member.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpStream, task::unconstrained};

use super::upload::Upload;

/// A connection to a member with its HTTP state.
///
/// No task of its own drives it: whoever has it polls it. A request then costs one wake-up for the client's bytes and
/// one for the member's, and no hand-over between tasks. An unused connection is driven by nobody; whether it still
/// stands is looked at when it is taken and by [`Pool::sweep`].
pub(super) struct MemberConnection {
    pub(super) sender: SendRequest<Upload>,
    connection: Connection<TokioIo<TcpStream>, Upload>,
    ended: bool,
    /// Whether it has carried a request before.
    pub(super) reused: bool,
    idle_since: Instant,
}

impl fmt::Debug for MemberConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberConnection").field("reused", &self.reused).finish_non_exhaustive()
    }
}

impl MemberConnection {
    /// Connects within `timeout`.
    pub(super) async fn open(address: SocketAddr, timeout: Duration) -> io::Result<Box<Self>> {
        let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            Builder::new().handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Box::new(Self { sender, connection, ended: false, reused: false, idle_since: Instant::now() }))
    }

    /// Moves it on. Ready when it has ended: then what there was to say went to the request or the body.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ended && self.connection.poll_without_shutdown(cx).is_ready() {
            self.ended = true;
        }
        if self.ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The socket of a connection that HTTP is over on because of an upgrade, and what was read beyond its head.
    /// `None` if that takes longer than `timeout`.
    pub(super) async fn upgraded(mut self: Box<Self>, timeout: Duration) -> Option<(TcpStream, Bytes)> {
        tokio::time::timeout(timeout, poll_fn(|cx| self.poll(cx))).await.ok()?;
        let parts = self.connection.into_parts();
        Some((parts.io.into_inner(), parts.read_buf))
    }

    /// Whether it can take a request: the one before is over and the member has not closed it.
    pub(super) fn is_free(&self) -> bool {
        !self.ended && self.sender.is_ready()
    }

    /// Looks whether the member has closed it. Nobody is woken by what is found: the next poll decides who is.
    fn is_closed(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // Without budget tokio would answer "pending" for a closed one.
        let mut poll = unconstrained(poll_fn(|cx| self.poll(cx)));
        Pin::new(&mut poll).poll(&mut cx).is_ready()
    }
}

/// Unused connections to one member, the one used last on top.
#[derive(Debug)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Debug)]
struct Idle {
    #[expect(clippy::vec_box, reason = "a connection is large and moves between here and requests")]
    connections: Vec<Box<MemberConnection>>,
    open: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self(Mutex::new(Idle { connections: Vec::new(), open: true }))
    }
}

impl Pool {
    /// A connection that has been unused for less than `limit` and that the member is not known to have closed.
    pub(super) fn take(&self, now: Instant, limit: Duration) -> Option<Box<MemberConnection>> {
        loop {
            let mut connection = {
                let mut idle = self.0.lock();
                // Those below are older still; they are left to `sweep`.
                idle.connections.pop_if(|top| now.saturating_duration_since(top.idle_since) < limit)?
            };
            if !connection.is_closed() {
                return Some(connection);
            }
        }
    }

    /// Keeps a free connection for later, unless the member left the split or has `most` already.
    pub(super) fn put(&self, mut connection: Box<MemberConnection>, now: Instant, most: usize) {
        connection.reused = true;
        connection.idle_since = now;
        let mut idle = self.0.lock();
        if idle.open && idle.connections.len() < most {
            idle.connections.push(connection);
        } else {
            drop(idle);
            drop(connection);
        }
    }

    /// Closes connections that were unused for longer than `limit` or that the member has closed.
    pub(super) fn sweep(&self, now: Instant, limit: Duration) {
        // Outside of the lock, because each look may be a system call.
        let mut connections = std::mem::take(&mut self.0.lock().connections);
        if connections.is_empty() {
            return;
        }
        connections.retain_mut(|connection| {
            now.saturating_duration_since(connection.idle_since) <= limit && !connection.is_closed()
        });
        let mut idle = self.0.lock();
        if idle.open {
            connections.append(&mut idle.connections);
            idle.connections = connections;
        }
    }

    /// Closes all unused connections, and keeps none from now on.
    pub(super) fn close(&self) {
        let connections = {
            let mut idle = self.0.lock();
            idle.open = false;
            std::mem::take(&mut idle.connections)
        };
        drop(connections);
    }

    /// Keeps connections again.
    pub(super) fn open(&self) {
        self.0.lock().open = true;
    }
}
