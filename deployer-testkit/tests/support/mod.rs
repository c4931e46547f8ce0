//! A server inside the test whose every answer the test decides.
#![expect(clippy::unwrap_used, reason = "a test may end so")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What the server does with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// 200, with the body that came.
    Answer,
    /// The same, in the name of a release.
    AnswerAs(&'static str),
    /// This status.
    Status(u16),
    /// 200 with a body that nobody sent.
    Lie,
    /// Nothing, for ever.
    Hang,
    /// Closes the connection.
    Tear,
}

/// Decides by number of the connection and of the request, both from 1.
pub(crate) type Decide = dyn Fn(u64, u64) -> Act + Send + Sync;

/// What the server counted itself.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) connections: AtomicU64,
    pub(crate) posts: AtomicU64,
    pub(crate) gets: AtomicU64,
    /// Connections closed before anything was read.
    pub(crate) dropped: AtomicU64,
}

/// A server inside the test. Dropping it closes its socket and all connections.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) counted: Arc<Counted>,
    _tasks: JoinSet<()>,
}

/// How the server treats connections.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Connections {
    /// Every connection with a number divisible by this is closed at once.
    pub(crate) drop_every: Option<u64>,
    /// Closes a connection that was idle for so long.
    pub(crate) close_idle: Option<Duration>,
}

impl Server {
    pub(crate) async fn start(decide: impl Fn(u64, u64) -> Act + Send + Sync + 'static) -> Self {
        Self::on(([127, 0, 0, 1], 0).into(), Connections::default(), Arc::new(decide)).await
    }

    pub(crate) async fn on(address: SocketAddr, connections: Connections, decide: Arc<Decide>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let counted = Arc::new(Counted::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, connections, decide, Arc::clone(&counted)));
        Self { address, counted, _tasks: tasks }
    }
}

async fn accept(listener: TcpListener, settings: Connections, decide: Arc<Decide>, counted: Arc<Counted>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let number = counted.connections.fetch_add(1, Ordering::SeqCst) + 1;
        if settings.drop_every.is_some_and(|every| number.is_multiple_of(every)) {
            counted.dropped.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        connections.spawn(serve(stream, number, settings, Arc::clone(&decide), Arc::clone(&counted)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(
    stream: TcpStream,
    number: u64,
    settings: Connections,
    decide: Arc<Decide>,
    counted: Arc<Counted>,
) {
    stream.set_nodelay(true).unwrap();
    let (used, mut last_use) = tokio::sync::watch::channel(());
    let service = service_fn(move |request| {
        used.send_replace(());
        answer(request, number, Arc::clone(&decide), Arc::clone(&counted))
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let idle = async move {
        let Some(limit) = settings.close_idle else { return std::future::pending().await };
        last_use.changed().await.unwrap();
        while tokio::time::timeout(limit, last_use.changed()).await.is_ok() {}
    };
    tokio::select! {
        _ = connection => {}
        () = idle => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    decide: Arc<Decide>,
    counted: Arc<Counted>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let of_kind = if request.method() == Method::POST { &counted.posts } else { &counted.gets };
    of_kind.fetch_add(1, Ordering::SeqCst);
    let number = counted.posts.load(Ordering::SeqCst) + counted.gets.load(Ordering::SeqCst);
    let body = request.into_body().collect().await.map_err(|_| "the client went away")?.to_bytes();
    let mut response = Response::new(Full::new(body));
    match decide(connection, number) {
        Act::Answer => {}
        Act::AnswerAs(release) => {
            response.headers_mut().insert("x-release", release.parse().unwrap());
        }
        Act::Status(status) => *response.status_mut() = StatusCode::from_u16(status).unwrap(),
        Act::Lie => *response.body_mut() = Full::new(Bytes::from_static(b"something else")),
        Act::Hang => return std::future::pending().await,
        Act::Tear => return Err("asked to tear"),
    }
    Ok(response)
}
