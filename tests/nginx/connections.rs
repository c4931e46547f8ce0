//! What is under way while traffic is switched.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use deployer::{event::EventKind, model::RolloutSettings, strategy::Phase};
use deployer_testkit::{cases::say, load::Mix};
use futures::StreamExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    time::timeout,
};

use crate::{
    processes::LIMIT,
    recipes::Kind,
    stand::{Stand, answered, ended, patient, settings},
};

/// A client's connection, kept.
struct Connection(BufStream<TcpStream>);

struct Answer {
    status: u16,
    release: String,
    body: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        Self(BufStream::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn send(&mut self, request: &str) {
        self.0.write_all(request.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn answer(&mut self) -> Answer {
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

    async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        self.answer().await
    }

    /// Makes it a tunnel; says which release is at its other end.
    async fn upgrade(&mut self) -> String {
        self.send("GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
        let answer = self.answer().await;
        assert_eq!(answer.status, 101);
        answer.release
    }

    /// Whether the other end still sends back what it gets.
    async fn echoes(&mut self, text: &str) -> bool {
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
async fn until_switched(address: SocketAddr, release: &str) {
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

pub(crate) async fn what_is_under_way_is_served_to_its_end(stand: &Stand) {
    let address = stand.address;
    let load = fresh_load(stand).await;
    let mut socket = Connection::open(address).await;
    assert_eq!(socket.upgrade().await, "v1");
    let mut download = Connection::open(address).await;
    download.send("GET /download?ms=3000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut slow = Connection::open(address).await;
    slow.send("GET /slow?ms=2000 HTTP/1.1\r\nhost: a\r\n\r\n").await;

    let deployment = stand.deployment("v2", Kind::BlueGreen).build().unwrap();
    let mut events = deployment.events();
    let under_way = async {
        until_switched(address, "v2").await;
        let switched = Instant::now();
        let (slow, download) = tokio::join!(slow.answer(), download.answer());
        assert_eq!((slow.status, slow.release.as_str(), &slow.body[..]), (200, "v1", &b"at last\n"[..]));
        assert_eq!((download.status, download.release.as_str()), (200, "v1"));
        assert_eq!(download.body, vec![b'd'; 100_000]);
        let downloaded = switched.elapsed();
        let retires = |kind: &EventKind| matches!(kind, EventKind::Advanced { state, .. } if state.phase == Phase::Retiring);
        while !retires(&events.next().await.expect("it retires the old set").kind) {}
        for _ in 0..20 {
            assert!(socket.echoes("still there").await, "the WebSocket is cut before its drain bound");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!stand.pids("v1").is_empty(), "its instance is stopped only after");
        say(&format!(
            "    {}: a download ended {downloaded:?} after the switch, a WebSocket was still served {:?} after it",
            stand.kind(),
            switched.elapsed()
        ));
        drop(socket);
        Instant::now()
    };
    let (report, left) = tokio::join!(deployment.run(), under_way);
    report.unwrap();
    let took = left.elapsed();
    say(&format!("    {}: the old set was gone {took:?} after the WebSocket was closed", stand.kind()));
    assert!(took < settings().drain / 2, "the drain did not end with the WebSocket: {took:?}");
    ended("a switch with a download and a WebSocket", load).await.assert_lossless();
    stand.assert_live("v2");
}

pub(crate) async fn a_tunnel_that_does_not_end_holds_until_the_drain_bound(stand: &Stand) {
    let load = fresh_load(stand).await;
    let mut socket = Connection::open(stand.address).await;
    assert_eq!(socket.upgrade().await, "v1");
    let drain = Duration::from_secs(2);
    let settings = RolloutSettings { drain, ..settings() };
    let deployment = stand.deployment("v2", Kind::BlueGreen).settings(settings).build().unwrap();
    let started = Instant::now();
    let echoing = async {
        let mut last = started;
        while socket.echoes("on and on").await {
            last = Instant::now();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        last
    };
    let (report, last_echo) = tokio::join!(deployment.run(), echoing);
    report.unwrap();
    let lived = last_echo - started;
    say(&format!(
        "    {}: a WebSocket lived for {lived:?} of a deployment, with a drain bound of {drain:?}",
        stand.kind()
    ));
    assert!(lived >= drain, "cut after {lived:?}");
    ended("a deployment with a WebSocket that does not end", load).await.assert_lossless();
    stand.assert_live("v2");
}

async fn fresh_load(stand: &Stand) -> deployer_testkit::load::LoadHandle {
    let mix = Mix { fresh_get: 1, fresh_post: 1, ..Mix::NONE };
    let load = patient(stand.address).rate(100).mix(mix).start().unwrap();
    answered(&load, 20).await;
    load
}
