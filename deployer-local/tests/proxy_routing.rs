//! Who gets which requests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy_support;

use std::collections::BTreeMap;

use deployer_core::model::{Maintenance, Route, RouteMatch, Split};
use deployer_local::proxy::OwnAnswers;
use proxy_support::{Backend, Client, Dead, eventually, serve, set, share, start, text, within};
use tokio::task::JoinSet;

fn header(name: &str, value: &str, to: &str) -> Route {
    Route { matches: RouteMatch::Header { name: name.into(), value: value.into() }, set: set(to) }
}

fn cookie(name: &str, value: &str, to: &str) -> Route {
    Route { matches: RouteMatch::Cookie { name: name.into(), value: value.into() }, set: set(to) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_route_that_matches_selects_the_set() {
    let (stable, canary, third) =
        (Backend::named("stable").await, Backend::named("canary").await, Backend::named("third").await);
    let proxy = start(&Split::Serve {
        shares: vec![
            share("stable", 1, &[stable.address]),
            share("canary", 0, &[canary.address]),
            share("third", 0, &[third.address]),
        ],
        routes: vec![
            header("X-Canary", "Yes", "canary"),
            cookie("version", "canary", "canary"),
            cookie("version", "third", "third"),
            header("x-canary", "third", "third"),
        ],
    });
    let mut client = Client::new(proxy.local_address());
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "stable"),
        (&[("x-canary", "Yes")], "canary"),
        (&[("X-CANARY", "Yes")], "canary"),
        (&[("x-canary", "yes")], "stable"),
        (&[("x-canary", "Yes, really")], "stable"),
        (&[("x-canary", "no"), ("x-canary", "Yes")], "canary"),
        (&[("cookie", "a=b; version=canary; c=d")], "canary"),
        (&[("cookie", "a=b"), ("cookie", "version=third")], "third"),
        (&[("cookie", "xversion=canary")], "stable"),
        (&[("cookie", "version=canary2")], "stable"),
        (&[("cookie", "Version=canary")], "stable"),
        (&[("cookie", "version=third"), ("x-canary", "Yes")], "canary"),
        (&[("x-canary", "third"), ("connection", "x-canary")], "third"),
    ];
    for (headers, expected) in cases {
        assert_eq!(client.get(headers).await.text(), *expected, "{headers:?}");
    }
}

/// 4.5 standard deviations: wrong once in 150 000 runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_parts_of_their_sum() {
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let weights = [10, 3, 0];
    let proxy = start(&serve(vec![
        share("a", weights[0], &[backends[0].address]),
        share("b", weights[1], &[backends[1].address]),
        share("c", weights[2], &[backends[2].address]),
    ]));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let mut client = Client::new(proxy.local_address());
        clients.spawn(async move {
            let mut counts = BTreeMap::new();
            for _ in 0..500 {
                *counts.entry(client.get(&[]).await.text().to_owned()).or_insert(0_u32) += 1;
            }
            counts
        });
    }
    let mut counts = BTreeMap::new();
    for result in within(clients.join_all()).await {
        for (name, count) in result {
            *counts.entry(name).or_insert(0) += count;
        }
    }
    let (total, p) = (4000.0, 3.0 / 13.0);
    let deviation = (total * p * (1.0_f64 - p)).sqrt();
    let got = f64::from(counts["b"]);
    assert!(
        (got - total * p).abs() < 4.5 * deviation,
        "{got} of {total}, expected {} ± {deviation}",
        total * p
    );
    assert!(!counts.contains_key("c"), "a set of weight 0 was picked");
    assert_eq!(counts["a"] + counts["b"], 4000, "{counts:?}");
    let stats = proxy.stats();
    for set in &stats.sets {
        assert_eq!(set.total, u64::from(counts.get(set.set.as_str()).copied().unwrap_or(0)));
        assert_eq!(set.time.total(), set.total);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_set_take_turns() {
    let backends = [Backend::named("0").await, Backend::named("1").await, Backend::named("2").await];
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let proxy = start(&serve(vec![share("v1", 7, &addresses)]));
    let mut client = Client::new(proxy.local_address());
    for _ in 0..30 {
        client.get(&[]).await;
    }
    for backend in &backends {
        assert_eq!(backend.seen.requests(), 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_is_answered_without_touching_anybody() {
    let backend = Backend::named("v1").await;
    let split = serve(vec![share("v1", 1, &[backend.address])]);
    let proxy = start(&split);
    let mut client = Client::new(proxy.local_address());
    let maintenance = Maintenance { retry_after_seconds: 17, message: "back at nine ☕".to_owned() };
    proxy.set(&Split::Maintenance(maintenance)).unwrap();
    let reply = client.post("payload").await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.text()), (503, "back at nine ☕"));
    assert_eq!(reply.headers["retry-after"], "17");
    assert!(reply.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(backend.seen.connections(), 0);
    assert_eq!(proxy.stats().own, OwnAnswers { maintenance: 1, unrouted: 0, rejected: 0 });
    proxy.set(&split).unwrap();
    assert_eq!(client.post("payload").await.unwrap().text(), "v1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_to_ask_is_503_and_nobody_there_is_502() {
    let proxy = start(&Split::EMPTY);
    let mut client = Client::new(proxy.local_address());
    let reply = client.post("payload").await.unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("no set"), "{}", reply.text());
    proxy.set(&serve(vec![share("v1", 1, &[])])).unwrap();
    assert_eq!(client.post("payload").await.unwrap().status, 502);
    let stats = proxy.stats();
    assert_eq!((stats.own.unrouted, stats.sets[0].total, stats.sets[0].bad), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_set_does_not_spill_into_another() {
    let stable = Backend::named("stable").await;
    let dead = Dead::new();
    let proxy = start(&Split::Serve {
        shares: vec![share("stable", 1, &[stable.address]), share("canary", 0, &[dead.address])],
        routes: vec![header("x-canary", "1", "canary")],
    });
    let mut client = Client::new(proxy.local_address());
    for _ in 0..5 {
        assert_eq!(client.get(&[("x-canary", "1")]).await.status, 502);
    }
    assert_eq!(stable.seen.requests(), 0);
    let canary = proxy.stats().sets.into_iter().find(|stats| stats.set.as_str() == "canary").unwrap();
    assert_eq!((canary.total, canary.bad), (5, 5));
}

/// The set that a request was picked for is gone when its member refuses: the new split takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_refused_by_a_set_that_left_follows_the_new_split() {
    let new = Backend::start(|_| async { text("new") }).await;
    // Accepts nothing: its queue is full, so connecting takes until the timeout.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let mut queue = Vec::new();
    for _ in 0..200 {
        let socket = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(std::time::Duration::from_millis(200), socket).await {
            Ok(Ok(socket)) => queue.push(socket),
            _ => break,
        }
    }
    assert!(queue.len() < 200, "the queue of a listener has no end here");
    let proxy = start(&serve(vec![share("old", 1, &[address])]));
    let mut client = Client::new(proxy.local_address());
    let waiting = tokio::spawn(async move { client.post("payload").await });
    eventually("it is connecting", || proxy.stats().members[0].in_flight == 1).await;
    proxy.set(&serve(vec![share("new", 1, &[new.address])])).unwrap();
    let reply = within(waiting).await.unwrap().unwrap();
    assert_eq!(reply.text(), "new");
    let stats = proxy.stats();
    assert_eq!(
        (stats.sets[0].total, stats.sets[0].bad, stats.sets[0].retried),
        (1, 0, 1),
        "counted where it was picked"
    );
    assert_eq!(stats.sets[1].total, 0);
}
