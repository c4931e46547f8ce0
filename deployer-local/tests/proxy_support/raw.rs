//! Bytes on the wire.

use std::{future::Future, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A backend that does with each connection what it is told.
#[derive(Debug)]
pub struct RawBackend {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for RawBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RawBackend {
    pub async fn start<F, A>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                connections.spawn(serve(socket));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, task }
    }
}

/// Reads up to the empty line. What follows in the same packet is returned with it; empty if the peer closed first.
pub async fn read_head(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return Vec::new();
        }
    }
    bytes
}

/// Reads until the peer closes, or is silent for half a second.
pub async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let read = tokio::time::timeout(Duration::from_millis(500), socket.read_buf(&mut bytes)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

/// Sends bytes on a new connection and returns everything that comes back.
pub async fn exchange_raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    read_to_end(&mut socket).await
}
