//! What is under way while traffic is switched.

use std::time::{Duration, Instant};

use deployer::{event::EventKind, model::RolloutSettings, strategy::Phase};
use deployer_testkit::{cases::say, load::Mix};
use futures::StreamExt as _;

use crate::{
    client::{Connection, until_switched},
    recipes::Kind,
    stand::{Stand, answered, ended, patient, settings},
};

pub(crate) async fn what_is_under_way_is_served_to_its_end(stand: &Stand) {
    let address = stand.address;
    let load = fresh_load(stand).await;
    let mut socket = Connection::open(address).await;
    assert_eq!(socket.upgrade("websocket").await, "v1");
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
    assert_eq!(socket.upgrade("websocket").await, "v1");
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
