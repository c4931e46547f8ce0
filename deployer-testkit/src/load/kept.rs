//! Connections, and those that are kept.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpStream, task::JoinHandle};

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// The server does not accept one.
    Refused(String),
    /// This machine has no port or file descriptor left: nothing the server could be blamed for.
    Exhausted(String),
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        const TOO_MANY_OPEN_FILES: [i32; 2] = [23, 24];
        let exhausted = error.kind() == io::ErrorKind::AddrNotAvailable
            || error.raw_os_error().is_some_and(|code| TOO_MANY_OPEN_FILES.contains(&code));
        if exhausted { Self::Exhausted(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}

/// One connection. Dropping it closes it, whatever is on it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    /// Its place among the open ones of a pool.
    place: Option<Arc<()>>,
    /// Whether an earlier request was on it.
    pub(super) is_reused: bool,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, NoConnection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| NoConnection::Refused(error.to_string()))?;
        let driver = tokio::spawn(async move {
            // An error of the connection reaches the request that is on it; without one there is nobody to tell.
            let _ = connection.await;
        });
        Ok(Self { sender, driver, place: None, is_reused: false })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connections that are kept between requests. It first grows to its limit and then uses them in turn, so that each
/// of them is idle for a while and then used again: where a switch would hurt.
#[derive(Debug)]
pub(super) struct KeptConnections {
    address: SocketAddr,
    limit: usize,
    idle: Mutex<VecDeque<Connection>>,
    /// Each open or opening connection holds a clone.
    places: Arc<()>,
    closed_while_idle: AtomicU64,
}

impl KeptConnections {
    pub(super) fn new(address: SocketAddr, limit: usize) -> Self {
        Self {
            address,
            limit,
            idle: Mutex::default(),
            places: Arc::default(),
            closed_while_idle: AtomicU64::new(0),
        }
    }

    /// A connection on which no request is. One that the server closed in the meantime is not handed out where that
    /// can be seen before anything is sent; it is counted instead.
    pub(super) async fn take(&self) -> Result<Connection, NoConnection> {
        while Arc::strong_count(&self.places) > self.limit {
            let Some(mut connection) = self.idle.lock().pop_front() else { break };
            if connection.sender.ready().await.is_ok() {
                return Ok(connection);
            }
            self.closed_while_idle.fetch_add(1, Ordering::Relaxed);
        }
        self.open().await
    }

    /// A new connection that may be given back.
    pub(super) async fn open(&self) -> Result<Connection, NoConnection> {
        let place = Arc::clone(&self.places);
        let mut connection = Connection::open(self.address).await?;
        connection.place = Some(place);
        Ok(connection)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn give_back(&self, mut connection: Connection) {
        connection.is_reused = true;
        debug_assert!(connection.place.is_some(), "only connections of the pool come back to it");
        self.idle.lock().push_back(connection);
    }

    pub(super) fn closed_while_idle(&self) -> u64 {
        self.closed_while_idle.load(Ordering::Relaxed)
    }
}
