//! What two parsers could understand differently, byte by byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy_support;

use std::sync::Arc;

use deployer_local::proxy::{Proxy, ProxySettings};
use parking_lot::Mutex;
use proxy_support::{RawBackend, exchange_raw, serve, share, start, start_with};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A backend that notes every byte. It answers once per head it sees, so that a smuggled request would show.
async fn recorder(answer: &'static str) -> (RawBackend, Arc<Mutex<String>>) {
    let wire = Arc::new(Mutex::new(String::new()));
    let copy = wire.clone();
    let backend = RawBackend::start(move |mut socket: TcpStream| {
        let wire = copy.clone();
        async move {
            let mut bytes = vec![0; 65_536];
            while let Ok(count @ 1..) = socket.read(&mut bytes).await {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                wire.lock().push_str(&text);
                let heads = text.matches(" HTTP/1.1\r\n").count();
                if socket.write_all(answer.repeat(heads).as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (backend, wire)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn setup() -> (Proxy, RawBackend, Arc<Mutex<String>>) {
    let (backend, wire) = recorder(OK).await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    (proxy, backend, wire)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_requests_are_refused_and_nothing_of_them_is_passed_on() {
    let (proxy, _backend, wire) = setup().await;
    let cases: &[(&str, &str)] = &[
        ("400", "GET / HTTP/1.1\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("400", "GET http://user@evil/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
        ("400", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
        ("400", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("400", "GET / HTTP/3.7\r\nHost: a\r\n\r\n"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nabc"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("400", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("501", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (
            "501",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("400", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("405", "CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n"),
    ];
    for (status, request) in cases {
        let reply = exchange_raw(proxy.local_address(), request.as_bytes()).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?} was answered {reply:?}");
        assert_eq!(*wire.lock(), "", "{request:?} reached the backend");
    }
    assert!(proxy.stats().own.rejected > 0);
    assert_eq!(proxy.stats().sets[0].total, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_beside_chunks_does_not_hide_a_request() {
    let (proxy, _backend, wire) = setup().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    // By the length the second request is part of the body, by the chunks it is one of its own: chunks win.
    let request = format!(
        "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        5 + smuggled.len()
    );
    let reply = exchange_raw(proxy.local_address(), request.as_bytes()).await;
    let wire = wire.lock().to_lowercase();
    assert!(!wire.contains("content-length"), "both framings were passed on: {wire}");
    let answers = reply.matches("HTTP/1.1 ").count();
    let requests = wire.matches(" http/1.1\r\n").count();
    assert_eq!(answers, requests, "answers and requests do not match: {reply:?} {wire:?}");
    // A second request must have gone through the proxy's own hands.
    assert_eq!(wire.matches("x-forwarded-for: 127.0.0.1\r\n").count(), requests, "{wire}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_given_twice_is_passed_on_once() {
    let (proxy, _backend, wire) = setup().await;
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc";
    let reply = exchange_raw(proxy.local_address(), request).await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert_eq!(wire.lock().to_lowercase().matches("content-length: 3\r\n").count(), 1, "{}", wire.lock());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_is_in_origin_form_and_its_host_wins() {
    let (proxy, _backend, wire) = setup().await;
    for (target, expected) in [
        ("http://evil.test:81/x?y=z", "GET /x?y=z HTTP/1.1\r\n"),
        ("http://evil.test:81", "GET / HTTP/1.1\r\n"),
        ("http://evil.test:81?y", "GET /?y HTTP/1.1\r\n"),
    ] {
        wire.lock().clear();
        let request = format!("GET {target} HTTP/1.1\r\nHost: service.test\r\n\r\n");
        exchange_raw(proxy.local_address(), request.as_bytes()).await;
        let wire = wire.lock().clone();
        assert!(wire.starts_with(expected), "{target}: {wire}");
        assert!(wire.contains("host: evil.test:81\r\n") && !wire.contains("service.test"), "{wire}");
    }
    wire.lock().clear();
    exchange_raw(proxy.local_address(), b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(wire.lock().starts_with("OPTIONS * HTTP/1.1\r\n"), "{}", wire.lock());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_by_hop_headers_end_here_and_forwarding_headers_are_ours() {
    let (proxy, _backend, wire) = setup().await;
    let request = "POST / HTTP/1.1\r\nHost: service.test\r\nConnection: close, X-Secret, X-Forwarded-For, Host, TE\r\n\
        Connection: X-Other\r\nX-Secret: s\r\nX-Other: o\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\n\
        TE: trailers\r\nProxy-Authorization: Basic x\r\nUpgrade: foo\r\nExpect: 100-continue\r\n\
        X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX_Forwarded_For: 6.6.6.6\r\n\
        Forwarded: for=6.6.6.6\r\nX-Kept: yes\r\nAuthorization: Bearer y\r\nContent-Length: 2\r\n\r\nab";
    let reply = exchange_raw(proxy.local_address(), request.as_bytes()).await;
    assert!(reply.contains("HTTP/1.1 200 OK"), "{reply}");
    let wire = wire.lock().clone();
    let mut lines: Vec<_> = wire.split("\r\n\r\n").next().unwrap().lines().collect();
    lines.sort_unstable();
    let expected = [
        "POST / HTTP/1.1",
        "authorization: Bearer y",
        "content-length: 2",
        "host: service.test",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: service.test",
        "x-forwarded-proto: http",
        "x-kept: yes",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarding_headers_of_a_trusted_proxy_are_extended() {
    let (backend, wire) = recorder(OK).await;
    let settings = ProxySettings { trust_forwarded: true, ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("v1", 1, &[backend.address])]));
    let request = "GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\n\r\n";
    exchange_raw(proxy.local_address(), request.as_bytes()).await;
    let wire = wire.lock().clone();
    for line in [
        "x-forwarded-for: 9.9.9.9, 8.8.8.8, 127.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: outer",
    ] {
        assert_eq!(wire.matches(&format!("{line}\r\n")).count(), 1, "{line} in {wire}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http_1_0_needs_no_host() {
    let (proxy, backend, wire) = setup().await;
    let reply = exchange_raw(proxy.local_address(), b"GET /old HTTP/1.0\r\n\r\n").await;
    assert!(reply.contains(" 200 OK\r\n") && reply.ends_with("ok"), "{reply}");
    let wire = wire.lock().clone();
    assert!(wire.starts_with("GET /old HTTP/1.1\r\n"), "{wire}");
    assert!(wire.contains(&format!("host: {}\r\n", backend.address)), "{wire}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let (proxy, _backend, _wire) = setup().await;
    let one = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = exchange_raw(proxy.local_address(), one.repeat(5).as_bytes()).await;
    assert_eq!(reply.matches("HTTP/1.1 200 OK").count(), 5, "{reply}");
    assert_eq!(proxy.stats().sets[0].total, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused() {
    let (proxy, _backend, wire) = setup().await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let reply = exchange_raw(proxy.local_address(), request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
    assert_eq!(*wire.lock(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_cleaned_too_and_impossible_ones_are_502() {
    let cases = [
        (
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Authenticate: Basic\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 502 "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 502 "),
        ("no HTTP at all\r\n\r\n", "HTTP/1.1 502 "),
        ("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "HTTP/1.1 502 "),
    ];
    for (answer, expected) in cases {
        let (backend, _wire) = recorder(answer).await;
        let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
        let reply = exchange_raw(proxy.local_address(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(reply.starts_with(expected), "{answer:?} became {reply:?}");
        let lower = reply.to_lowercase();
        for gone in ["x-inner", "keep-alive", "proxy-authenticate", "gzip"] {
            assert!(!lower.contains(gone), "{answer:?} became {reply:?}");
        }
        assert_eq!(proxy.stats().sets[0].bad, u64::from(expected.contains("502")));
        assert_eq!(proxy.stats().members[0].in_flight, 0);
    }
}
