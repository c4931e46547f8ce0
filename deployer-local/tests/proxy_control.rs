//! Control calls: what they return, and that they wait for no request.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy_support;

use std::time::{Duration, Instant};

use deployer_core::model::{Member, Split};
use deployer_local::proxy::{MemberLoad, Proxy, ProxySettings};
use proxy_support::{Backend, Client, eventually, instance, member, serve, set, share, start, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_given_again_keeps_its_generation_and_a_bad_one_changes_nothing() {
    let proxy = start(&Split::EMPTY);
    assert_eq!(proxy.current(), (Split::EMPTY, 0));
    let changes = proxy.changes();
    let first = serve(vec![share("v1", 1, &["127.0.0.1:4001".parse().unwrap()])]);
    assert_eq!(proxy.set(&first).unwrap(), 1);
    assert_eq!(proxy.set(&first).unwrap(), 1);
    assert_eq!(*changes.borrow(), 1, "nothing changed the second time");
    let nameless = Member { instance: instance("x"), address: None };
    let mut shares = vec![share("v2", 1, &[]), share("v2", 0, &[])];
    shares[0].members.push(nameless);
    let refused = proxy.set(&serve(shares)).unwrap_err();
    assert_eq!(refused.problems.len(), 2, "{refused}");
    let message = refused.to_string();
    assert!(message.contains("shares[0].members[0]: instance x has no address"), "{message}");
    assert_eq!(proxy.current(), (first, 1));
    assert_eq!(proxy.stats().sets.len(), 1, "a refused split left something behind");
    let second = serve(vec![share("v1", 2, &["127.0.0.1:4001".parse().unwrap()])]);
    assert_eq!(proxy.set(&second).unwrap(), 2);
    assert_eq!((*changes.borrow(), proxy.stats().generation), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_left_is_counted_until_it_is_idle_and_that_is_told() {
    let (release, wait) = tokio::sync::watch::channel(false);
    let old = Backend::start(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            text("old")
        }
    })
    .await;
    let new = Backend::named("new").await;
    let proxy = start(&serve(vec![share("old", 1, &[old.address])]));
    let mut client = Client::new(proxy.local_address());
    let waiting = tokio::spawn(async move { client.post("payload").await });
    let members = [member("old-0", old.address), member("new-0", new.address), member("never", old.address)];
    eventually("it is in flight", || proxy.in_flight(&members)[0].requests == 1).await;
    proxy.set(&serve(vec![share("new", 1, &[new.address])])).unwrap();
    let busy = MemberLoad { requests: 1, tunnels: 0 };
    assert_eq!(proxy.in_flight(&members), [busy, MemberLoad::default(), MemberLoad::default()]);
    assert_eq!(proxy.in_flight(&[Member { instance: instance("old-0"), address: None }]), [busy]);
    let stats = proxy.stats();
    assert!(stats.members.iter().any(|m| m.instance == instance("old-0") && !m.in_split && m.in_flight == 1));
    assert_eq!(Client::new(proxy.local_address()).post("payload").await.unwrap().text(), "new");
    let mut changes = proxy.changes();
    release.send(true).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(10), changes.changed());
    told.await.expect("nobody told that the member is idle").unwrap();
    assert!(proxy.in_flight(&members)[0].is_idle());
    assert_eq!(waiting.await.unwrap().unwrap().text(), "old");
    assert!(proxy.stats().members.iter().all(|m| m.in_split));
}

/// Unused connections of a member that left are closed at once, not after a timeout, although it is still busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_of_a_member_ends_with_its_place_in_the_split() {
    let (release, wait) = tokio::sync::watch::channel(false);
    let old = Backend::start(move |request| {
        let mut wait = wait.clone();
        async move {
            if request.headers().contains_key("x-slow") {
                wait.wait_for(|go| *go).await.unwrap();
            }
            text("old")
        }
    })
    .await;
    let new = Backend::named("new").await;
    let splits = [serve(vec![share("old", 1, &[old.address])]), serve(vec![share("new", 1, &[new.address])])];
    let proxy = start(&splits[0]);
    let mut slow = Client::new(proxy.local_address());
    let slow = tokio::spawn(async move { slow.get(&[("x-slow", "1")]).await });
    eventually("it is in flight", || old.seen.requests() == 1).await;
    let mut client = Client::new(proxy.local_address());
    client.post("payload").await.unwrap();
    client.post("payload").await.unwrap();
    assert_eq!((old.seen.connections(), old.seen.ended()), (2, 0));
    let begin = Instant::now();
    proxy.set(&splits[1]).unwrap();
    eventually("the unused connection is closed", || old.seen.ended() == 1).await;
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    release.send(true).unwrap();
    slow.await.unwrap();
    eventually("the one in use is not kept", || old.seen.ended() == 2).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    proxy.set(&splits[0]).unwrap();
    for _ in 0..2 {
        assert_eq!(client.post("payload").await.unwrap().text(), "old");
    }
    assert_eq!(old.seen.connections(), 3, "the pool of a member that came back keeps nothing");
}

/// The thread that serves requests is stuck; control goes on.
#[test]
fn control_does_not_wait_for_the_data_plane() {
    let data = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener, ProxySettings::default(), data.handle()).unwrap();
    let (stuck, is_stuck) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    data.spawn(async move {
        stuck.send(()).unwrap();
        let _ = released.recv();
    });
    is_stuck.recv().unwrap();
    let begin = Instant::now();
    for port in 4001..4101 {
        proxy.set(&serve(vec![share("v1", 1, &[([127, 0, 0, 1], port).into()])])).unwrap();
        proxy.stats();
        proxy.in_flight(&[member("v1-0", ([127, 0, 0, 1], port).into())]);
    }
    let took = begin.elapsed();
    release.send(()).unwrap();
    assert_eq!(proxy.current().1, 100);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_differences_over_an_interval() {
    let good = Backend::named("ok").await;
    let bad = Backend::start(|_| async {
        // Simulates a slow member.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut answer = text("no");
        *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
    .await;
    let proxy = start(&serve(vec![share("v1", 1, &[good.address])]));
    let mut client = Client::new(proxy.local_address());
    for _ in 0..20 {
        client.post("payload").await.unwrap();
    }
    let all = Duration::from_secs(600);
    let counts = proxy.counts(&set("v1"), all).unwrap();
    assert_eq!((counts.total, counts.bad), (20, 0));
    assert_eq!(proxy.counts(&set("never"), all), None);
    // What was counted before the last snapshot is out of the shortest interval.
    eventually("a second goes by", || proxy.counts(&set("v1"), Duration::ZERO).unwrap().total == 0).await;
    proxy.set(&serve(vec![share("v1", 1, &[bad.address])])).unwrap();
    for _ in 0..5 {
        assert_eq!(client.post("payload").await.unwrap().status, 500);
    }
    let counts = proxy.counts(&set("v1"), all).unwrap();
    assert_eq!((counts.total, counts.bad), (25, 5));
    assert!(counts.p99_micros.unwrap() >= 30_000, "{counts:?}");
    let stats = proxy.stats();
    assert_eq!((stats.sets[0].total, stats.sets[0].bad, stats.sets[0].time.total()), (25, 5, 25));
    let copy: deployer_local::proxy::ProxyStats =
        serde_json::from_str(&serde_json::to_string(&stats).unwrap()).unwrap();
    assert_eq!(copy, stats);
    let other = start(&Split::EMPTY);
    assert_ne!(other.stats().epoch, stats.epoch, "two proxies have the same epoch");
}
