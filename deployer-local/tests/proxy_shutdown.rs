//! The end of a proxy.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy_support;

use std::time::{Duration, Instant};

use deployer_local::proxy::{Proxy, ProxySettings};
use proxy_support::{
    Backend, Client, eventually, exchange_raw, read_to_end, serve, share, start, start_with, text, within,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

async fn slow(time: Duration) -> Backend {
    Backend::start(move |_| async move {
        // Simulates work that takes time.
        tokio::time::sleep(time).await;
        text("done")
    })
    .await
}

async fn in_flight(proxy: &Proxy, count: u32) {
    eventually("the requests are in flight", || proxy.stats().members[0].in_flight == count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_finish_and_then_it_returns_at_once() {
    let backend = slow(Duration::from_millis(400)).await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut idle = Client::new(proxy.local_address());
    idle.post("payload").await.unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let mut client = Client::new(proxy.local_address());
        clients.spawn(async move { client.post("payload").await.map(|reply| reply.status.as_u16()) });
    }
    in_flight(&proxy, 20).await;
    let begin = Instant::now();
    within(proxy.shutdown(Duration::from_secs(15))).await;
    let took = begin.elapsed();
    for result in within(clients.join_all()).await {
        assert_eq!(result, Ok(200));
    }
    assert!(took < Duration::from_secs(5), "waited {took:?} although all had ended");
    assert!(TcpStream::connect(proxy.local_address()).await.is_err(), "it still accepts");
    // Again: it has ended, so this returns.
    within(proxy.shutdown(Duration::from_secs(15))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_is_cut_at_the_deadline() {
    let backend = slow(Duration::from_secs(60)).await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut client = Client::new(proxy.local_address());
    let waiting = tokio::spawn(async move { client.post("payload").await });
    in_flight(&proxy, 1).await;
    let begin = Instant::now();
    within(proxy.shutdown(Duration::from_millis(300))).await;
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert!(within(waiting).await.unwrap().is_err());
    assert_eq!(proxy.stats().members[0].in_flight, 0);
}

/// Connections that the kernel took before the stop, and requests on them, are served.
#[tokio::test(flavor = "current_thread")]
async fn connections_that_wait_to_be_accepted_are_served() {
    let backend = slow(Duration::from_millis(10)).await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    // This thread is the data plane too: until it awaits nothing is accepted.
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = std::net::TcpStream::connect(proxy.local_address()).unwrap();
        std::io::Write::write_all(&mut socket, b"GET / HTTP/1.1\r\nHost: service.test\r\n\r\n").unwrap();
        socket.set_nonblocking(true).unwrap();
        sockets.push(socket);
    }
    within(proxy.shutdown(Duration::from_secs(10))).await;
    for socket in sockets {
        let mut socket = TcpStream::from_std(socket).unwrap();
        let reply = read_to_end(&mut socket).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.ends_with("done"), "{reply:?}");
        assert!(reply.to_lowercase().contains("connection: close"), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_and_a_slow_head_are_not_waited_for() {
    let backend = Backend::named("ok").await;
    let settings = ProxySettings {
        client_idle: Duration::from_millis(200),
        head_timeout: Duration::from_millis(200),
        ..Default::default()
    };
    let proxy = start_with(settings, &serve(vec![share("v1", 1, &[backend.address])]));
    let begin = Instant::now();
    assert_eq!(within(exchange_raw(proxy.local_address(), b"GET / HT")).await, "");
    let took = begin.elapsed();
    assert!((Duration::from_millis(195)..Duration::from_secs(3)).contains(&took), "{took:?}");
    let mut socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: service.test\r\n\r\n";
    for _ in 0..6 {
        // Used often enough to be kept beyond the limit.
        socket.write_all(request).await.unwrap();
        let mut bytes = vec![0; 1000];
        let count = tokio::io::AsyncReadExt::read(&mut socket, &mut bytes).await.unwrap();
        assert!(bytes[..count].starts_with(b"HTTP/1.1 200 OK"));
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    let mut bytes = Vec::new();
    let closed = within(tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut bytes)).await;
    assert_eq!(closed.unwrap(), 0, "{:?}", String::from_utf8_lossy(&bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_closes_everything() {
    let backend = slow(Duration::from_secs(60)).await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let address = proxy.local_address();
    let mut client = Client::new(address);
    let waiting = tokio::spawn(async move { client.post("payload").await });
    in_flight(&proxy, 1).await;
    let clone = proxy.clone();
    drop(proxy);
    assert_eq!(clone.stats().members[0].in_flight, 1, "one handle is left");
    drop(clone);
    assert!(within(waiting).await.unwrap().is_err());
    eventually("the port is free", || std::net::TcpListener::bind(address).is_ok()).await;
}
