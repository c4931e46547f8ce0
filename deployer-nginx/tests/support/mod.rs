//! What the tests share.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod stage;

use std::{fmt::Write as _, net::SocketAddr, path::Path, time::Duration};

use deployer_core::model::WorkloadId;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

#[allow(unused_imports, reason = "each test program uses a part of it")]
pub(crate) use stage::{Stage, all_to, context, proven, serves, share, snapshot};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Fails with the way out where nginx is missing.
pub(crate) fn nginx() {
    let here = Path::new("/usr/sbin/nginx").exists();
    assert!(here, "these tests need nginx: apt-get install nginx libnginx-mod-http-lua lua-resty-core");
}

pub(crate) fn workload(name: &str) -> WorkloadId {
    WorkloadId::new(name).expect("a name")
}

#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One request on a connection of its own; `None` without an answer.
pub(crate) async fn get(to: SocketAddr, path: &str) -> Option<Got> {
    request(to, path, &[]).await
}

pub(crate) async fn request(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Option<Got> {
    let mut head = format!("GET {path} HTTP/1.0\r\nHost: test\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.ok()?;
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Got { status, head: head.to_owned(), body: body.to_owned() })
    };
    timeout(LIMIT, exchange).await.ok()?
}

/// Returns when the condition holds; fails when that takes too long.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(LIMIT, wait).await.is_ok(), "not within {LIMIT:?}: {what}");
}
