//! An address where nobody answers.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// An address that refuses every connection, and that nobody else can get while this is held.
#[derive(Debug)]
pub struct Dead {
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl Dead {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Bound and never listening.
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { address: socket.local_addr().unwrap(), _socket: socket }
    }
}
