//! What is sent again, and what never.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy_support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deployer_local::proxy::{ProxySettings, SetStats};
use http::Method;
use proxy_support::{Backend, Client, RawBackend, read_head, serve, share, start, start_with, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn only_set(proxy: &deployer_local::proxy::Proxy) -> SetStats {
    let mut sets = proxy.stats().sets;
    assert_eq!(sets.len(), 1);
    sets.remove(0)
}

/// Two members, one is killed in the middle. How many of 400 requests over fresh connections failed, and the counts.
async fn kill_one_of_two(retry: bool) -> (u64, SetStats) {
    let (stays, dies) = (Backend::named("stays").await, Backend::named("dies").await);
    let settings = ProxySettings { retry_unwritten: retry, replay_idempotent: retry, ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("v1", 1, &[stays.address, dies.address])]));
    let mut client = Client::new(proxy.local_address());
    let mut failed = 0;
    let mut dies = Some(dies);
    for request in 0..400 {
        if request == 100 {
            dies.take().unwrap().kill().await;
        }
        let reply = client.post("payload").await.unwrap();
        failed += u64::from(!reply.status.is_success());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (failed, only_set(&proxy))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_retry_a_dead_member_costs_nothing_and_is_passed_over() {
    let (failed, stats) = within(kill_one_of_two(true)).await;
    assert_eq!((failed, stats.bad, stats.total), (0, 0, 400));
    assert!(stats.retried > 0 && stats.refused > 0, "{stats:?}");
    assert!(stats.refused < 20, "an ejected member was asked {} times", stats.refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_retry_refused_requests_fail() {
    let (failed, stats) = within(kill_one_of_two(false)).await;
    assert!(failed > 0, "nothing failed: the test above is blind");
    assert_eq!((failed, stats.retried), (stats.bad, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_refuse_the_answer_is_502_and_none_is_ejected_for_good() {
    let addresses = [free_address(), free_address()];
    let proxy = start(&serve(vec![share("v1", 1, &addresses)]));
    let mut client = Client::new(proxy.local_address());
    for _ in 0..5 {
        assert_eq!(client.post("payload").await.unwrap().status, 502);
    }
    let stats = only_set(&proxy);
    assert_eq!((stats.total, stats.bad, stats.retried, stats.refused), (5, 5, 5, 10));
    assert!(proxy.stats().members.iter().all(|member| member.ejected && member.in_flight == 0));
    let revived = Backend::start_at(addresses[1], |_| async { proxy_support::text("back") }).await;
    assert_eq!(
        client.post("payload").await.unwrap().text(),
        "back",
        "an ejected member was the only one left"
    );
    assert_eq!(revived.seen.requests(), 1);
}

/// A backend that serves `good` requests on each connection, then reads one more and closes without an answer.
async fn dies_after(good: usize, seen: Arc<AtomicU64>) -> RawBackend {
    RawBackend::start(move |mut socket: TcpStream| {
        let seen = seen.clone();
        async move {
            for _ in 0..good {
                if read_head(&mut socket).await.is_empty() {
                    return;
                }
                seen.fetch_add(1, Ordering::SeqCst);
                socket.write_all(OK).await.unwrap();
            }
            if !read_head(&mut socket).await.is_empty() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotent_request_lost_on_a_kept_connection_is_sent_once_more() {
    let seen = Arc::new(AtomicU64::new(0));
    let backend = dies_after(1, seen.clone()).await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut client = Client::new(proxy.local_address());
    for _ in 0..10 {
        assert_eq!(client.get(&[]).await.status, 200);
    }
    let stats = only_set(&proxy);
    assert_eq!((stats.total, stats.bad, stats.retried), (10, 0, 9));
    assert_eq!(seen.load(Ordering::SeqCst), 19);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_written_post_is_never_sent_twice() {
    let seen = Arc::new(AtomicU64::new(0));
    let backend = dies_after(1, seen.clone()).await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut client = Client::new(proxy.local_address());
    for expected in [200, 502, 200, 502] {
        assert_eq!(client.send(Method::POST, &[], "").await.unwrap().status, expected, "without a body");
    }
    for expected in [200, 502, 200, 502] {
        assert_eq!(client.send(Method::PUT, &[], "payload").await.unwrap().status, expected, "with a body");
    }
    assert_eq!(only_set(&proxy).retried, 0);
    assert_eq!(seen.load(Ordering::SeqCst), 8, "each request reached the member exactly once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotent_request_lost_on_a_fresh_connection_fails() {
    let seen = Arc::new(AtomicU64::new(0));
    let backend = dies_after(0, seen.clone()).await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    assert_eq!(Client::new(proxy.local_address()).get(&[]).await.status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// Serves one request however late it comes, then closes the connection when it was unused for 3 to 8 ms.
async fn closes_idle_connections() -> RawBackend {
    let count = Arc::new(AtomicU64::new(0));
    RawBackend::start(move |mut socket: TcpStream| {
        let idle = Duration::from_millis(3 + count.fetch_add(1, Ordering::SeqCst) % 6);
        async move {
            let mut bytes = vec![0; 4096];
            let mut read = Ok(socket.read(&mut bytes).await);
            while matches!(read, Ok(Ok(1..))) && socket.write_all(OK).await.is_ok() {
                read = tokio::time::timeout(idle, socket.read(&mut bytes)).await;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_closes_idle_connections_loses_no_request() {
    let backend = closes_idle_connections().await;
    let settings = ProxySettings { member_idle_unsafe: Duration::ZERO, ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("v1", 1, &[backend.address])]));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..8_u64 {
        let address = proxy.local_address();
        clients.spawn(async move {
            let mut client = Client::new(address);
            for round in 0..60_u64 {
                let method = if number % 2 == 0 { Method::GET } else { Method::POST };
                assert_eq!(client.send(method, &[], "").await.unwrap().status, 200);
                tokio::time::sleep(Duration::from_millis((number + round) % 10)).await;
            }
        });
    }
    within(clients.join_all()).await;
    let stats = only_set(&proxy);
    assert_eq!((stats.total, stats.bad), (480, 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_takes_no_connection_that_was_unused_for_long() {
    let backend = Backend::named("ok").await;
    let settings = ProxySettings { member_idle_unsafe: Duration::from_millis(100), ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("v1", 1, &[backend.address])]));
    let mut client = Client::new(proxy.local_address());
    client.post("payload").await.unwrap();
    client.post("payload").await.unwrap();
    assert_eq!(backend.seen.connections(), 1, "a connection used just now is used again");
    // Simulates a client that pauses: the connection has to grow old.
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.get(&[]).await;
    assert_eq!(backend.seen.connections(), 1, "a GET may use an older one");
    // Simulates a client that pauses: the connection has to grow old.
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.post("payload").await.unwrap();
    assert_eq!(backend.seen.connections(), 2);
}
