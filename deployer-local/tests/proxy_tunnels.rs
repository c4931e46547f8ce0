//! Upgraded connections and streams of events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy_support;

use std::time::Duration;

use deployer_local::proxy::{MemberLoad, Proxy, ProxySettings};
use proxy_support::{
    Backend, RawBackend, eventually, exchange_raw, member, read_head, serve, share, start, start_with, text,
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const UPGRADE: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: service.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Answers 101 at once, greets in the same packet, then echoes.
async fn echoes() -> RawBackend {
    RawBackend::start(|mut socket: TcpStream| async move {
        if read_head(&mut socket).await.is_empty() {
            return;
        }
        socket.write_all(&[SWITCHING, b"hello"].concat()).await.unwrap();
        let (mut from, mut to) = socket.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    })
    .await
}

/// Opens a tunnel and reads the greeting.
async fn open(proxy: &Proxy) -> TcpStream {
    let mut socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    socket.write_all(UPGRADE).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nhello") {
        let count = socket.read_buf(&mut seen).await.unwrap();
        assert!(count > 0, "torn after {:?}", String::from_utf8_lossy(&seen));
    }
    let head = String::from_utf8_lossy(&seen).to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
    socket
}

async fn echo(socket: &mut TcpStream, text: &[u8]) {
    socket.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    socket.read_exact(&mut back).await.unwrap();
    assert_eq!(back, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_fast_upgrades_are_not_torn() {
    let backend = echoes().await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let proxy = proxy.clone();
        clients.spawn(async move {
            for _ in 0..100 {
                let mut socket = open(&proxy).await;
                echo(&mut socket, b"ping").await;
                socket.shutdown().await.unwrap();
                let mut rest = Vec::new();
                socket.read_to_end(&mut rest).await.unwrap();
                assert!(rest.is_empty());
            }
        });
    }
    tokio::time::timeout(Duration::from_secs(60), clients.join_all()).await.expect("took more than a minute");
    let stats = proxy.stats().sets.remove(0);
    assert_eq!((stats.total, stats.bad), (2000, 0), "{stats:?}");
    eventually("all claims are released", || proxy.stats().members[0].tunnels == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_outlives_the_split_up_to_its_deadline() {
    let (old, new) = (echoes().await, Backend::named("new").await);
    let settings = ProxySettings { tunnel_deadline: Duration::from_millis(700), ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("old", 1, &[old.address])]));
    let mut socket = open(&proxy).await;
    let members = [member("old-0", old.address)];
    assert_eq!(proxy.in_flight(&members), [MemberLoad { requests: 0, tunnels: 1 }]);
    let changes = proxy.changes();
    let ticks = *changes.borrow();
    let left = std::time::Instant::now();
    proxy.set(&serve(vec![share("new", 1, &[new.address])])).unwrap();
    echo(&mut socket, b"still there").await;
    assert_eq!(proxy.in_flight(&members), [MemberLoad { requests: 0, tunnels: 1 }]);
    let mut rest = Vec::new();
    within(socket.read_to_end(&mut rest)).await.unwrap();
    assert!(left.elapsed() >= Duration::from_millis(690), "cut after {:?}", left.elapsed());
    eventually("the claim is released", || proxy.in_flight(&members)[0].is_idle()).await;
    eventually("the end is told", || *changes.borrow() >= ticks + 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_keeps_its_tunnels() {
    let (old, new) = (echoes().await, Backend::named("new").await);
    let settings = ProxySettings { tunnel_deadline: Duration::from_millis(400), ..Default::default() };
    let splits = [serve(vec![share("old", 1, &[old.address])]), serve(vec![share("new", 1, &[new.address])])];
    let proxy = start_with(settings, &splits[0]);
    let mut socket = open(&proxy).await;
    proxy.set(&splits[1]).unwrap();
    proxy.set(&splits[0]).unwrap();
    // Simulates a tunnel that outlives the deadline it would have had.
    tokio::time::sleep(Duration::from_millis(700)).await;
    echo(&mut socket, b"still there").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let backend = Backend::named("no").await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let twice = exchange_raw(proxy.local_address(), &[UPGRADE, UPGRADE].concat()).await;
    assert_eq!(twice.matches("HTTP/1.1 200 OK").count(), 2, "{twice}");
    assert!(!twice.to_lowercase().contains("upgrade"), "{twice}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_nobody_asked_for_is_a_bad_answer() {
    let backend = echoes().await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let plain = b"GET / HTTP/1.1\r\nHost: service.test\r\n\r\n";
    let reply = exchange_raw(proxy.local_address(), plain).await;
    assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
    // HTTP/2 would be a way past everything that is checked in HTTP/1.
    let http2 =
        b"GET / HTTP/1.1\r\nHost: service.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let reply = exchange_raw(proxy.local_address(), http2).await;
    assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
    assert_eq!(proxy.stats().sets[0].bad, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_is_drained_like_a_tunnel() {
    let events = RawBackend::start(|mut socket: TcpStream| async move {
        read_head(&mut socket).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\n";
        socket.write_all(head).await.unwrap();
        // Silent until the proxy closes.
        assert!(read_head(&mut socket).await.is_empty());
    })
    .await;
    let new = Backend::start(|_| async { text("new") }).await;
    let settings = ProxySettings { tunnel_deadline: Duration::from_millis(300), ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("old", 1, &[events.address])]));
    let mut socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: service.test\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"data: 1\n\n\r\n") {
        assert!(socket.read_buf(&mut seen).await.unwrap() > 0, "{:?}", String::from_utf8_lossy(&seen));
    }
    let members = [member("old-0", events.address)];
    assert_eq!(proxy.in_flight(&members), [MemberLoad { requests: 0, tunnels: 1 }]);
    proxy.set(&serve(vec![share("new", 1, &[new.address])])).unwrap();
    while !seen.ends_with(b"0\r\n\r\n") {
        let count = within(socket.read_buf(&mut seen)).await.unwrap();
        assert!(count > 0, "torn, not ended: {:?}", String::from_utf8_lossy(&seen));
    }
    eventually("the claim is released", || proxy.in_flight(&members)[0].is_idle()).await;
    assert_eq!(proxy.stats().sets[0].client_gone, 0);
}
