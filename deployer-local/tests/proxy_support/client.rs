//! A client that keeps its connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle};

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One connection to the proxy, opened again after an error.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    open: Option<(SendRequest<Full<Bytes>>, JoinHandle<()>)>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, open: None }
    }

    pub fn close(&mut self) {
        if let Some((_, driver)) = self.open.take() {
            driver.abort();
        }
    }

    pub async fn get(&mut self, headers: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, headers, "").await.unwrap()
    }

    pub async fn post(&mut self, body: &'static str) -> Result<Reply, String> {
        self.send(Method::POST, &[], body).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri("/path?query").header("host", "service.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let result = self.try_send(request.body(Full::new(body.into())).unwrap()).await;
        if result.is_err() {
            self.close();
        }
        result
    }

    async fn try_send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let text = |error: hyper::Error| format!("{error:?}");
        if self.open.as_ref().is_none_or(|(sender, _)| sender.is_closed()) {
            self.close();
            let socket = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
            socket.set_nodelay(true).unwrap();
            let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(text)?;
            self.open = Some((
                sender,
                tokio::spawn(async move {
                    let _ = connection.await;
                }),
            ));
        }
        let (sender, _) = self.open.as_mut().expect("opened above");
        sender.ready().await.map_err(text)?;
        let response = sender.send_request(request).await.map_err(text)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(text)?.to_bytes();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }
}
