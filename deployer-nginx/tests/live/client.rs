//! A client that keeps its connection.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::LIMIT;

/// A client that keeps its connection.
#[derive(Debug)]
pub(crate) struct Client {
    to: SocketAddr,
    stream: TcpStream,
    /// Sent with every request, each line with its end.
    headers: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (this, value) = line.split_once(':')?;
            this.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let stream = timeout(LIMIT, TcpStream::connect(to)).await.unwrap().unwrap();
        stream.set_nodelay(true).unwrap();
        Self { to, stream, headers: String::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// One request on the connection that it has; the answer has to have a length.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        timeout(LIMIT, self.exchange("GET", path, "")).await.unwrap()
    }

    pub(crate) async fn post(&mut self, path: &str) -> Answer {
        self.post_body(path, "hi").await
    }

    pub(crate) async fn post_body(&mut self, path: &str, body: &str) -> Answer {
        timeout(LIMIT, self.exchange("POST", path, body)).await.unwrap()
    }

    async fn exchange(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.exchange_once(method, path, body).await;
        // nginx ends a connection in good order after a thousand requests.
        if answer.header("connection") == Some("close") {
            self.stream = Self::connect(self.to).await.stream;
        }
        answer
    }

    async fn exchange_once(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n{}\r\n{body}",
            self.headers
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        let mut part = [0; 4096];
        loop {
            let count = self.stream.read(&mut part).await.unwrap();
            assert!(count > 0, "the connection was closed: {:?}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&part[..count]);
            if let Some(answer) = whole(&read) {
                return answer;
            }
        }
    }
}

fn whole(read: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(read).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    let length: usize = answer.header("content-length").expect("an answer with a length").parse().unwrap();
    (body.len() >= length).then_some(answer)
}
