//! Bodies in both directions, and how long a claim lives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy_support;

use std::time::Duration;

use bytes::Bytes;
use deployer_local::proxy::{Proxy, ProxySettings};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame};
use proxy_support::{
    Backend, Client, RawBackend, eventually, exchange_raw, read_head, read_to_end, serve, share, start,
    start_with, text, within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

async fn is_idle(proxy: &Proxy) {
    eventually("the claim is released", || proxy.stats().members[0].in_flight == 0).await;
}

/// A body that gives what is sent, when it is sent.
fn body_of(mut receiver: mpsc::Receiver<Bytes>) -> impl Body<Data = Bytes, Error = std::io::Error> {
    StreamBody::new(futures_stream(move |cx| {
        receiver.poll_recv(cx).map(|item| item.map(|bytes| Ok(Frame::data(bytes))))
    }))
}

fn futures_stream<T>(
    poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>>,
) -> impl futures::Stream<Item = T> {
    futures::stream::poll_fn(poll)
}

/// The first piece arrives before the second was sent, upwards and downwards: nothing is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_in_both_directions_at_the_same_time() {
    let backend = Backend::start(|request| async move {
        // Echoes piece by piece.
        Response::new(request.into_body().map_err(std::io::Error::other).boxed())
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let (sender, receiver) = mpsc::channel(1);
    let socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(socket)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::post("/").header("host", "service.test").body(body_of(receiver).boxed()).unwrap();
    let response = client.send_request(request);
    let mut answer = within(response).await.unwrap().into_body();
    for piece in 0..20 {
        let piece = Bytes::from(format!("piece {piece}").repeat(5000));
        sender.send(piece.clone()).await.unwrap();
        let mut back = Vec::new();
        while back.len() < piece.len() {
            let frame = within(answer.frame()).await.expect("the answer goes on").unwrap();
            back.extend_from_slice(&frame.into_data().unwrap());
        }
        assert_eq!(back, piece);
        assert_eq!(proxy.stats().members[0].in_flight, 1);
    }
    drop(sender);
    assert!(within(answer.frame()).await.is_none());
    is_idle(&proxy).await;
    driver.abort();
    let stats = proxy.stats().sets.remove(0);
    assert_eq!((stats.total, stats.bad, stats.client_gone), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_arrive_whole() {
    let backend = Backend::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text(body.iter().rev().copied().collect::<Vec<_>>())
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let body: Vec<u8> = (0..3_000_000_u32).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    let mut client = Client::new(proxy.local_address());
    for _ in 0..3 {
        let reply = within(client.send(http::Method::POST, &[], body.clone())).await.unwrap();
        assert!(reply.body.iter().rev().eq(body.iter()), "{} bytes came back", reply.body.len());
    }
    is_idle(&proxy).await;
}

/// A client that does not read holds the member's answer back instead of filling the proxy's memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_slows_the_member_down() {
    let (written, mut progress) = mpsc::unbounded_channel();
    let backend = RawBackend::start(move |mut socket: TcpStream| {
        let written = written.clone();
        async move {
            read_head(&mut socket).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let block = vec![b'x'; 1 << 16];
            while socket.write_all(&block).await.is_ok() {
                let _ = written.send(block.len());
            }
        }
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut total = 0;
    while let Ok(Some(count)) = tokio::time::timeout(Duration::from_millis(500), progress.recv()).await {
        total += count;
        assert!(total < 64 << 20, "the proxy takes everything");
    }
    assert_eq!(proxy.stats().members[0].in_flight, 1);
    drop(socket);
    is_idle(&proxy).await;
    assert_eq!(proxy.stats().sets[0].client_gone, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_cut_and_a_slow_one_is_not() {
    let size = 16 << 20;
    let backend = Backend::start(move |_| async move { text(vec![b'x'; size]) }).await;
    let settings = ProxySettings { client_stall: Duration::from_millis(600), ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("v1", 1, &[backend.address])]));
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut stuck = TcpStream::connect(proxy.local_address()).await.unwrap();
    stuck.write_all(request).await.unwrap();
    eventually("it is in flight", || proxy.stats().members[0].in_flight == 1).await;
    is_idle(&proxy).await;
    assert_eq!(proxy.stats().sets[0].client_gone, 1);
    let mut slow = TcpStream::connect(proxy.local_address()).await.unwrap();
    slow.write_all(request).await.unwrap();
    let (mut total, mut bytes) = (0, vec![0; 1 << 20]);
    while total < size {
        // All in all this takes longer than a stall may.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut taken = 0;
        while taken < bytes.len() && total < size {
            let count = within(slow.read(&mut bytes)).await.unwrap();
            assert!(count > 0, "cut after {total} bytes");
            (taken, total) = (taken + count, total + count);
        }
    }
    drop(stuck);
}

/// A body that stops coming is cut; a long answer to a whole one is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_stops_is_cut_and_a_slow_member_is_not() {
    let backend = Backend::start(|request| async move {
        let whole = request.into_body().collect().await.is_ok();
        // Simulates a member that takes its time.
        tokio::time::sleep(Duration::from_millis(900)).await;
        text(if whole { "whole" } else { "part" })
    })
    .await;
    let settings = ProxySettings { client_stall: Duration::from_millis(300), ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("v1", 1, &[backend.address])]));
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let mut stuck = TcpStream::connect(proxy.local_address()).await.unwrap();
    stuck.write_all(&[&head[..], b"part"].concat()).await.unwrap();
    let mut rest = Vec::new();
    let _ = within(stuck.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    is_idle(&proxy).await;
    let mut slow = TcpStream::connect(proxy.local_address()).await.unwrap();
    slow.write_all(head).await.unwrap();
    for byte in b"0123456789" {
        // All in all this takes longer than a stall may.
        tokio::time::sleep(Duration::from_millis(50)).await;
        slow.write_all(&[*byte]).await.unwrap();
    }
    let mut bytes = vec![0; 1000];
    let count = within(slow.read(&mut bytes)).await.unwrap();
    assert!(bytes[..count].ends_with(b"whole"), "{:?}", String::from_utf8_lossy(&bytes[..count]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_body_release_their_claim_and_their_connection() {
    let backend = Backend::start(|request: Request<_>| async move {
        let mut answer = text("");
        match request.headers()["x-want"].as_bytes() {
            b"204" => *answer.status_mut() = http::StatusCode::NO_CONTENT,
            b"304" => {
                *answer.status_mut() = http::StatusCode::NOT_MODIFIED;
                answer.headers_mut().insert("etag", HeaderValue::from_static("\"1\""));
            }
            b"empty" => {}
            _ => answer = text("a body"),
        }
        answer
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut client = Client::new(proxy.local_address());
    for (method, want, status) in [
        (http::Method::GET, "204", 204),
        (http::Method::GET, "304", 304),
        (http::Method::GET, "empty", 200),
        (http::Method::HEAD, "head", 200),
        (http::Method::POST, "empty", 200),
    ] {
        let reply = client.send(method.clone(), &[("x-want", want)], "").await.unwrap();
        assert_eq!(reply.status, status);
        assert!(reply.body.is_empty());
        if method == http::Method::HEAD {
            assert_eq!(reply.headers["content-length"], "6");
        }
        is_idle(&proxy).await;
    }
    let stats = proxy.stats().sets.remove(0);
    assert_eq!((stats.total, stats.bad, stats.client_gone), (5, 0, 0));
    assert_eq!(backend.seen.connections(), 1, "the connection was not kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_the_head_releases_its_claim() {
    let backend = Backend::start(|_| async {
        // Simulates a member that never answers.
        tokio::time::sleep(Duration::from_secs(60)).await;
        text("late")
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    eventually("it is in flight", || proxy.stats().members[0].in_flight == 1).await;
    drop(socket);
    is_idle(&proxy).await;
    let stats = proxy.stats().sets.remove(0);
    assert_eq!((stats.total, stats.bad, stats.client_gone), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_during_its_upload_is_not_the_members_fault() {
    let backend = Backend::start(|request| async move {
        let _ = request.into_body().collect().await;
        text("ok")
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    socket.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\npart").await.unwrap();
    eventually("it has arrived", || backend.seen.requests() == 1).await;
    drop(socket);
    is_idle(&proxy).await;
    let stats = proxy.stats().sets.remove(0);
    assert_eq!((stats.total, stats.bad, stats.client_gone), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_bad_and_the_client_can_tell() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n",
    ] {
        let backend = RawBackend::start(move |mut socket: TcpStream| async move {
            read_head(&mut socket).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        })
        .await;
        let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
        assert!(
            Client::new(proxy.local_address()).post("payload").await.is_err(),
            "it looked whole: {answer}"
        );
        is_idle(&proxy).await;
        let stats = proxy.stats().sets.remove(0);
        assert_eq!((stats.total, stats.bad, stats.client_gone), (1, 1, 0), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_ends_with_its_connection_arrives_whole() {
    let backend = RawBackend::start(|mut socket: TcpStream| async move {
        read_head(&mut socket).await;
        socket.write_all(b"HTTP/1.0 200 OK\r\n\r\nall ").await.unwrap();
        // Simulates an answer in two parts.
        tokio::time::sleep(Duration::from_millis(20)).await;
        socket.write_all(b"of it").await.unwrap();
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut client = Client::new(proxy.local_address());
    for _ in 0..3 {
        assert_eq!(client.get(&[]).await.text(), "all of it");
    }
    is_idle(&proxy).await;
    let stats = proxy.stats().sets.remove(0);
    assert_eq!((stats.total, stats.bad, stats.client_gone), (3, 0, 0));
}

/// The member answers and closes without reading the whole upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let backend = RawBackend::start(|mut socket: TcpStream| async move {
        read_head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await.unwrap();
        // Keeps reading slowly, as servers do to let the answer arrive.
        let mut bytes = vec![0; 1000];
        while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_secs(1), socket.read(&mut bytes)).await {}
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    socket.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin").await.unwrap();
    let reply = read_to_end(&mut socket).await;
    assert!(reply.starts_with("HTTP/1.1 413 ") && reply.ends_with("big"), "{reply}");
    is_idle(&proxy).await;
    drop(socket);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_are_passed_on() {
    let backend = RawBackend::start(|mut socket: TcpStream| async move {
        read_head(&mut socket).await;
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n";
        socket.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n";
    let reply = exchange_raw(proxy.local_address(), request).await;
    assert!(reply.to_lowercase().ends_with("0\r\nx-sum: 7\r\n\r\n"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expected_continue_is_given() {
    let backend =
        Backend::start(
            |request| async move { text(request.into_body().collect().await.unwrap().to_bytes()) },
        )
        .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut socket = TcpStream::connect(proxy.local_address()).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    socket.write_all(head).await.unwrap();
    let told = within(read_head(&mut socket)).await;
    assert!(told.starts_with(b"HTTP/1.1 100 "), "{:?}", String::from_utf8_lossy(&told));
    socket.write_all(b"body").await.unwrap();
    assert!(read_to_end(&mut socket).await.ends_with("\r\n\r\nbody"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_get_keeps_its_body() {
    let backend =
        Backend::start(
            |request| async move { text(request.into_body().collect().await.unwrap().to_bytes()) },
        )
        .await;
    let proxy = start(&serve(vec![share("v1", 1, &[backend.address])]));
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let reply = exchange_raw(proxy.local_address(), request).await;
    assert!(reply.ends_with("\r\n\r\nbody"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_may_be_given_a_time() {
    let backend = Backend::start(|_| async {
        // Simulates a member that never answers.
        tokio::time::sleep(Duration::from_secs(60)).await;
        text("late")
    })
    .await;
    let settings = ProxySettings { response_timeout: Some(Duration::from_millis(200)), ..Default::default() };
    let proxy = start_with(settings, &serve(vec![share("v1", 1, &[backend.address])]));
    assert_eq!(within(Client::new(proxy.local_address()).get(&[])).await.status, 504);
    let stats = proxy.stats().sets.remove(0);
    assert_eq!((stats.total, stats.bad), (1, 1));
    assert!(stats.time.p99_micros().unwrap() >= 200_000);
}
