//! A client's connection, as requests under way need it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    time::timeout,
};

use crate::processes::LIMIT;

/// A client's connection, kept.
pub(crate) struct Connection(pub(crate) BufStream<TcpStream>);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) release: String,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(BufStream::new(TcpStream::connect(address).await.unwrap()))
    }

    pub(crate) async fn send(&mut self, request: &str) {
        self.0.write_all(request.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(LIMIT, self.read()).await.expect("an answer in time")
    }

    async fn read(&mut self) -> Answer {
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "it ends inside its head: {head}");
            head.push_str(&line);
        }
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(": ")?;
                found.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = field("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; if status == 101 { 0 } else { length }];
        self.0.read_exact(&mut body).await.unwrap();
        Answer { status, release: field("x-release").unwrap_or_default(), body }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        self.answer().await
    }

    /// Makes it a tunnel; says which release is at its other end.
    pub(crate) async fn upgrade(&mut self, protocol: &str) -> String {
        let request = "GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: ";
        self.send(&format!("{request}{protocol}\r\n\r\n")).await;
        let answer = self.answer().await;
        assert_eq!(answer.status, 101);
        answer.release
    }

    /// Whether the other end still sends back what it gets.
    pub(crate) async fn echoes(&mut self, text: &str) -> bool {
        let mut back = vec![0; text.len()];
        let asked = async {
            self.0.write_all(text.as_bytes()).await?;
            self.0.flush().await?;
            self.0.read_exact(&mut back).await
        };
        timeout(LIMIT, asked).await.expect("an echo or an end in time").is_ok() && back == text.as_bytes()
    }
}

/// Waits until fresh connections get answers of this release only.
pub(crate) async fn until_switched(address: SocketAddr, release: &str) {
    let deadline = Instant::now() + LIMIT;
    let mut in_a_row = 0;
    while in_a_row < 8 {
        let answer = Connection::open(address).await.get("/").await;
        assert_eq!(answer.status, 200);
        in_a_row = if answer.release == release { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "not switched to {release}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
