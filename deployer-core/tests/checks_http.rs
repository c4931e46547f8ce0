//! HTTP checks against servers that misbehave.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "checks_support/asked.rs"]
mod asked;
#[path = "checks_support/server.rs"]
mod server;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use asked::{assert_failed, assert_unknown, instance, probe_within};
use deployer_core::{
    checks::{HttpCheck, HttpSettings, StatusRange},
    strategy::Probe,
};
use server::{Server, answer, closed, read_head};
use tokio::{io::AsyncWriteExt, net::TcpListener, sync::oneshot};

const SECONDS: Duration = Duration::from_secs(5);

fn check() -> HttpCheck {
    HttpCheck::get("/healthz").build().unwrap()
}

async fn probe(check: &HttpCheck, server: &Server) -> Probe {
    probe_within(check, &instance(server.address), SECONDS).await
}

/// What comes of a probe whose answer is this.
async fn probe_of(check: &HttpCheck, answer: impl Into<String>) -> Probe {
    probe(check, &Server::answering(answer).await).await
}

#[tokio::test]
async fn asks_the_instance_itself_in_plain_http() {
    let asked = Arc::new(Mutex::new(String::new()));
    let note = asked.clone();
    let server = Server::start(move |mut stream| {
        let note = note.clone();
        async move {
            *note.lock().unwrap() = read_head(&mut stream).await;
            stream.write_all(answer("204 No Content", "").as_bytes()).await.unwrap();
        }
    })
    .await;
    assert_eq!(probe(&HttpCheck::get("/a?b=c").build().unwrap(), &server).await, Probe::Ok);
    let head = asked.lock().unwrap().to_lowercase();
    assert!(head.starts_with("get /a?b=c http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nhost: {}\r\n", server.address)), "{head}");
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");

    let check = HttpCheck::get("/").host("web.example").request_header("X-Probe", "1").build().unwrap();
    assert_eq!(probe(&check, &server).await, Probe::Ok);
    let head = asked.lock().unwrap().to_lowercase();
    assert!(head.contains("\r\nhost: web.example\r\n") && head.contains("\r\nx-probe: 1\r\n"), "{head}");
    assert_eq!(server.connections(), 2, "one connection a probe");
}

#[tokio::test]
async fn a_byte_at_a_time_costs_no_more_than_the_deadline() {
    for (prefix, reason) in [("", "did not answer within"), ("HTTP/1.1 200 OK\r\n\r\n", "did not end within")]
    {
        let server = Server::start(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(prefix.as_bytes()).await.unwrap();
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            for byte in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
                ticks.tick().await;
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
        })
        .await;
        let probe = probe_within(&check(), &instance(server.address), Duration::from_millis(400)).await;
        assert_failed(&probe, reason);
        assert_failed(&probe, "360ms");
    }
}

#[tokio::test]
async fn a_bound_of_its_own_is_kept() {
    let server = Server::start(|mut stream| async move { closed(&mut stream).await }).await;
    let check = HttpCheck::get("/").answer_within(Duration::from_millis(50)).build().unwrap();
    let start = Instant::now();
    assert_failed(&probe(&check, &server).await, "did not answer within 50ms");
    assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let (done, ended) = oneshot::channel();
    let done = Arc::new(Mutex::new(Some(done)));
    let server = Server::start(move |mut stream| {
        let (counter, done) = (counter.clone(), done.clone());
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let block = [b'x'; 16 * 1024];
            while stream.write_all(&block).await.is_ok() {
                counter.fetch_add(block.len(), Ordering::SeqCst);
            }
            done.lock().unwrap().take().unwrap().send(()).unwrap();
        }
    })
    .await;
    let start = Instant::now();
    assert_failed(&probe(&check(), &server).await, "larger than 65536 bytes");
    assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
    tokio::time::timeout(SECONDS, ended).await.expect("the connection was left open").unwrap();
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes were taken");
}

#[tokio::test]
async fn sizes_are_bounded_at_the_byte() {
    let body = |size: usize| answer("200 OK", &"x".repeat(size));
    assert_eq!(probe_of(&check(), body(65_536)).await, Probe::Ok);
    assert_failed(&probe_of(&check(), body(65_537)).await, "larger than 65536 bytes");
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\nx";
    assert_failed(&probe_of(&check(), announced).await, "larger than 65536 bytes");
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    assert_failed(&probe_of(&check(), head).await, "did not answer in HTTP");
}

#[tokio::test]
async fn a_refused_connection_is_a_failure() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let probe = probe_within(&check(), &instance(address), SECONDS).await;
    assert_failed(&probe, &format!("nothing listens on {address}"));
}

#[tokio::test]
async fn nothing_is_known_without_an_address_or_about_a_metadata_service() {
    let mut asked = instance("169.254.169.254:80".parse().unwrap());
    let start = Instant::now();
    assert_unknown(&probe_within(&check(), &asked, SECONDS).await, "metadata");
    assert!(start.elapsed() < Duration::from_secs(1), "it was tried");
    asked.address = None;
    assert_unknown(&probe_within(&check(), &asked, SECONDS).await, "web-v2-1 has no address");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::answering(answer("200 OK", "")).await;
    let redirect = answer(&format!("302 Found\r\nlocation: http://{}/login", elsewhere.address), "");
    let probe = probe_of(&check(), redirect.clone()).await;
    assert_failed(&probe, &format!("answered 302, a redirect to \"http://{}/login\"", elsewhere.address));
    assert_failed(&probe, "expected 200-299");
    assert_eq!(elsewhere.connections(), 0);
    let expected = HttpCheck::get("/").expect_status(302).build().unwrap();
    assert_eq!(probe_of(&expected, redirect).await, Probe::Ok);
    assert_failed(&probe_of(&expected, answer("200 OK", "")).await, "answered 200, expected 302");
}

#[tokio::test]
async fn a_wrong_status_comes_with_what_the_instance_says_about_it() {
    let probe = probe_of(&check(), answer("500 Oops", "no database\n\u{1b}[31m")).await;
    assert_failed(&probe, r#"answered 500, expected 200-299: "no database\n\u{1b}[31m""#);
}

#[tokio::test]
async fn headers_must_be_there_and_right() {
    let check = HttpCheck::get("/").expect_header("X-Role", "primary").build().unwrap();
    assert_eq!(probe_of(&check, answer("200 OK\r\nx-role: primary", "")).await, Probe::Ok);
    assert_failed(
        &probe_of(&check, answer("200 OK\r\nx-role: replica", "")).await,
        r#"header x-role "replica", expected "primary""#,
    );
    assert_failed(&probe_of(&check, answer("200 OK", "")).await, "without header x-role");
}

#[tokio::test]
async fn bodies_must_be_right() {
    let text = HttpCheck::get("/").expect_text("ready").expect_text("go").build().unwrap();
    assert_eq!(probe_of(&text, answer("200 OK", "go, ready")).await, Probe::Ok);
    assert_failed(&probe_of(&text, answer("200 OK", "ready")).await, r#"does not contain "go": "ready""#);

    let json = HttpCheck::get("/").expect_json("/db/status", "up").expect_json("/lag", 0).build().unwrap();
    assert_eq!(probe_of(&json, answer("200 OK", r#"{"db": {"status": "up"}, "lag": 0}"#)).await, Probe::Ok);
    assert_failed(
        &probe_of(&json, answer("200 OK", r#"{"db": {"status": "down"}, "lag": 0}"#)).await,
        r#"at "/db/status", expected "up""#,
    );
    assert_failed(
        &probe_of(&json, answer("200 OK", r#"{"db": {"status": "up"}}"#)).await,
        "nothing at \"/lag\"",
    );
    assert_failed(&probe_of(&json, answer("200 OK", "<html>")).await, "no JSON");
    let nested = "[".repeat(60_000);
    assert_failed(&probe_of(&json, answer("200 OK", &nested)).await, "no JSON");
}

#[tokio::test]
async fn garbage_is_a_failure() {
    for garbage in
        ["SSH-2.0-OpenSSH_9.2\r\n", "\0\u{1}\u{2}\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "200 OK\r\n\r\n"]
    {
        assert_failed(&probe_of(&check(), garbage).await, "did not answer in HTTP");
    }
}

#[tokio::test]
async fn closing_early_is_a_failure() {
    let at_once = Server::start(|stream| async move { drop(stream) }).await;
    assert_failed(&probe(&check(), &at_once).await, "the connection");
    assert_failed(&probe_of(&check(), "").await, "closed the connection without an answer");
    assert_failed(&probe_of(&check(), "HTTP/1.1 200 OK\r\nx: ").await, "closed the connection without");
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
    assert_failed(&probe_of(&check(), short).await, "broke off after");
}

#[tokio::test]
async fn a_slow_accept_is_waited_for_within_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = instance(listener.local_addr().unwrap());
    // The kernel completes the connection for a process that does not accept it: that is a hang, not a partition.
    let probe = probe_within(&check(), &asked, Duration::from_millis(200)).await;
    assert_failed(&probe, "did not answer within");
    let late = async {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            if !read_head(&mut stream).await.is_empty() {
                // Fails for the connection of the first probe, which is closed.
                let _sent = stream.write_all(answer("200 OK", "").as_bytes()).await;
            }
        }
    };
    let check = check();
    let (probe, ()) = tokio::join!(probe_within(&check, &asked, SECONDS), late);
    assert_eq!(probe, Probe::Ok);
}

#[tokio::test]
async fn a_probe_that_is_dropped_closes_its_connection() {
    let (done, ended) = oneshot::channel();
    let done = Arc::new(Mutex::new(Some(done)));
    let (seen, arrived) = oneshot::channel();
    let seen = Arc::new(Mutex::new(Some(seen)));
    let server = Server::start(move |mut stream| {
        let (done, seen) = (done.clone(), seen.clone());
        async move {
            read_head(&mut stream).await;
            seen.lock().unwrap().take().unwrap().send(()).unwrap();
            closed(&mut stream).await;
            done.lock().unwrap().take().unwrap().send(()).unwrap();
        }
    })
    .await;
    let (check, asked) = (check(), instance(server.address));
    tokio::select! {
        probe = probe_within(&check, &asked, SECONDS) => panic!("{probe:?}"),
        arrived = arrived => arrived.unwrap(),
    }
    tokio::time::timeout(SECONDS, ended).await.expect("the connection was left open").unwrap();
}

#[test]
fn hostile_settings_are_refused_with_all_problems() {
    let long = format!("/{}", "x".repeat(3000));
    for path in
        ["", "healthz", "http://x/", "//x/", "/a b", "/a\r\nx: y", "/\0", "/ä", "/a#b", "*", "x:80", &long]
    {
        let problems = HttpCheck::get(path).build().unwrap_err();
        assert_eq!((problems.len(), problems[0].at.as_str()), (1, "path"), "{path:?}: {problems:?}");
    }
    for host in ["", "a b", "a\r\nx: y", "user@host", "host/path", ":80"] {
        assert!(HttpCheck::get("/").host(host).build().is_err(), "{host:?} was accepted");
    }
    for (name, value) in
        [("Host", "x"), ("content-length", "5"), ("Transfer-Encoding", "chunked"), ("a b", "x")]
            .into_iter()
            .chain([("x", "a\r\nb: c"), ("x", "\0")])
    {
        assert!(HttpCheck::get("/").request_header(name, value).build().is_err(), "{name:?} was accepted");
    }
    let problems = HttpCheck::get("x")
        .host("a b")
        .expect_status(99)
        .expect_status(StatusRange { first: 300, last: 200 })
        .expect_header("a b", "x")
        .expect_text("")
        .expect_json("status", "ok")
        .answer_within(Duration::ZERO)
        .request_header("host", "x")
        .build()
        .unwrap_err();
    assert_eq!(problems.len(), 9, "{problems:?}");
}

#[test]
fn settings_are_data() {
    let text = r#"{"path": "/up", "expect_status": [204, "200-201"], "answer_within": 0.5,
        "request_headers": {"authorization": "Bearer hunter2"}}"#;
    let settings: HttpSettings = serde_json::from_str(text).unwrap();
    let again: HttpSettings = serde_json::from_value(serde_json::to_value(&settings).unwrap()).unwrap();
    assert_eq!(again, settings);
    let check = HttpCheck::new(settings).unwrap();
    assert_eq!(check.settings().answer_within, Some(Duration::from_millis(500)));
    let debug = format!("{check:?}");
    assert!(debug.contains("authorization"), "{debug}");
    assert!(!debug.contains("hunter2"), "a header value is shown: {debug}");
    for text in [r#"{"pth": "/up"}"#, r#"{"expect_status": ["2xx"]}"#, r#"{"answer_within": -1}"#] {
        assert!(serde_json::from_str::<HttpSettings>(text).is_err(), "{text} was accepted");
    }
    assert!(HttpCheck::new(serde_json::from_str(r#"{"expect_status": []}"#).unwrap()).is_err());
}
