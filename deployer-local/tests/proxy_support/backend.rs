//! A backend that answers as it is told.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

pub type Answer = Response<BoxBody<Bytes, std::io::Error>>;
pub type Handler =
    Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// What a backend has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub requests: AtomicU64,
    pub connections: AtomicU64,
    pub ended: AtomicU64,
}

impl Seen {
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Connections that are closed.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

/// An HTTP server whose end is that of a process: dropped, all its sockets are closed at once.
#[derive(Debug)]
pub struct Backend {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A plain answer.
pub fn text(body: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed())
}

impl Backend {
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    pub async fn start_at<F, A>(address: SocketAddr, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let handler: Handler = Arc::new(move |request| Box::pin(answer(request)));
        let task = tokio::spawn(accept(listener, handler, seen.clone()));
        Self { address, seen, task }
    }

    /// Reads the request and answers with `name`.
    pub async fn named(name: &'static str) -> Self {
        Self::start(move |request| async move {
            let _ = request.into_body().collect().await;
            text(name)
        })
        .await
    }

    /// Ends it as `kill -9` would, and waits until its sockets are closed.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

async fn accept(listener: TcpListener, handler: Handler, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let _ = socket.set_nodelay(true);
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let (handler, seen) = (handler.clone(), seen.clone());
        let after = seen.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                seen.requests.fetch_add(1, Ordering::SeqCst);
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let _ = Builder::new().serve_connection(TokioIo::new(socket), service).with_upgrades().await;
            after.ended.fetch_add(1, Ordering::SeqCst);
        });
        while connections.try_join_next().is_some() {}
    }
}
