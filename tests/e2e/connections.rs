//! What is under way while traffic is switched.

use std::time::{Duration, Instant};

use deployer::{event::EventKind, model::RolloutSettings, strategy::Phase};
use deployer_testkit::{cases::say, load::Mix};
use futures::StreamExt as _;

use crate::{
    client::{Connection, until_switched},
    recipes::{Kind, app},
    stand::{Stand, WEB, answered, ended, load, patient, settings},
};

pub(crate) async fn what_is_under_way_at_a_switch_is_served_to_its_end(stand: &Stand) {
    let address = stand.serve_v1(WEB).await;
    let load = load(address, 100).await;
    let mut tunnel = Connection::open(address).await;
    assert_eq!(tunnel.upgrade("echo").await, "v1");
    let mut kept = Connection::open(address).await;
    assert_eq!(kept.get("/").await.release, "v1");
    let mut slow = Connection::open(address).await;
    slow.send("GET /slow?ms=2500 HTTP/1.1\r\nhost: a\r\n\r\n").await;

    let deployment = stand.deployment(WEB, &app("v2"), Kind::BlueGreen).build().unwrap();
    let mut events = deployment.events();
    let under_way = async {
        until_switched(address, "v2").await;
        let answer = kept.get("/").await;
        assert_eq!((answer.status, answer.release.as_str()), (200, "v2"), "a kept connection goes on");
        let answer = slow.answer().await;
        assert_eq!((answer.status, answer.release.as_str()), (200, "v1"));
        assert_eq!(answer.body, b"at last\n");
        let retires = |kind: &EventKind| matches!(kind, EventKind::Advanced { state, .. } if state.phase == Phase::Retiring);
        while !retires(&events.next().await.expect("it retires the old set").kind) {}
        for _ in 0..20 {
            assert!(tunnel.echoes("still there").await, "the tunnel is cut before its drain bound");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!stand.pids("v1").is_empty(), "its instance is stopped only after");
        drop(tunnel);
        Instant::now()
    };
    let (report, left) = tokio::join!(deployment.run(), under_way);
    report.unwrap();
    let took = left.elapsed();
    assert!(took < settings().drain / 2, "the drain did not end with the tunnel: {took:?}");
    ended("a switch with a slow answer and a tunnel", load, stand.retried(WEB).await).await.assert_lossless();
    stand.assert_live(WEB, "v2");
}

pub(crate) async fn a_tunnel_that_does_not_end_is_cut_at_the_drain_bound(stand: &Stand) {
    let address = stand.serve_v1(WEB).await;
    let load = load(address, 100).await;
    let mut tunnel = Connection::open(address).await;
    assert_eq!(tunnel.upgrade("echo").await, "v1");
    let drain = Duration::from_millis(1500);
    let settings = RolloutSettings { drain, ..settings() };
    let deployment = stand.deployment(WEB, &app("v2"), Kind::RollingWithoutSurge).settings(settings);
    let deployment = deployment.build().unwrap();
    let started = Instant::now();
    let echoing = async {
        let mut last = started;
        while tunnel.echoes("on and on").await {
            last = Instant::now();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        last
    };
    let (report, last_echo) = tokio::join!(deployment.run(), echoing);
    report.unwrap();
    let lived = last_echo - started;
    say(&format!("    a tunnel lived for {lived:?} of a rollout, with a drain bound of {drain:?}"));
    assert!(lived >= drain, "cut after {lived:?}");
    ended("a rollout with a tunnel that does not end", load, 0).await.assert_lossless();
    stand.assert_live(WEB, "v2");
}

pub(crate) async fn connections_of_all_shapes_are_kept_across_a_switch(stand: &Stand) {
    let address = stand.serve_v1(WEB).await;
    let mix = Mix { keep_alive_post: 1, keep_alive_get: 1, fresh_get: 1, fresh_post: 1 };
    let load = patient(address).rate(300).connections(8).mix(mix).body_bytes(30_000).start().unwrap();
    answered(&load, 50).await;
    for (release, kind) in [("v2", Kind::BlueGreen), ("v3", Kind::Rolling)] {
        stand.deploy(release, kind).await.unwrap();
    }
    let result = ended("all shapes of requests, two deployments", load, stand.retried(WEB).await).await;
    result.assert_lossless();
    assert_eq!(result.reopened, 0, "kept connections are kept:\n{result}");
    stand.assert_live(WEB, "v3");
}
