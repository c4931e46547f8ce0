//! The fake world keeps the contracts, with all capabilities and without any.

use std::time::Duration;

use deployer_testkit::{
    conformance::{self, ConformanceReport},
    world::{Latency, WorldSettings},
};

use crate::fake::FakeRig;

#[tokio::test(start_paused = true)]
async fn the_fake_target_conforms() {
    let report = conformance::target(&FakeRig::new(WorldSettings::default())).await;
    report.assert();
    assert_eq!(report.not_applicable(), ["addresses-answer"], "{report}");

    let mut settings = WorldSettings::default();
    (settings.target.fences, settings.target.pins_victims) = (false, false);
    settings.target.exclusive = Some("port 80".to_owned());
    let report = conformance::target(&FakeRig::new(settings)).await;
    report.assert();
    let others = [
        "shrinking-takes-the-named-ones",
        "calls-at-once-do-not-get-in-each-others-way",
        "other-sets-are-not-touched",
        "an-older-epoch-is-refused",
        "addresses-answer",
    ];
    assert_eq!(report.not_applicable(), others, "{report}");
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ConformanceReport>(&text).unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn the_fake_router_conforms() {
    conformance::router(&FakeRig::new(WorldSettings::default())).await.assert();

    let mut settings = WorldSettings::default();
    let router = &mut settings.router;
    (router.weights, router.header_routes, router.cookie_routes) = (false, false, false);
    (router.maintenance, router.proves, router.counts_in_flight, router.fences) =
        (false, false, false, false);
    let report = conformance::router(&FakeRig::new(settings)).await;
    report.assert();
    assert!(report.not_applicable().contains(&"an-older-epoch-is-refused"), "{report}");
}

/// A world in which there is little to wait for, and so few looks that may fail.
fn quick() -> WorldSettings {
    WorldSettings {
        start: Latency::millis(1, 5),
        ready: Latency::millis(1, 5),
        stop: Latency::millis(1, 5),
        switch: Latency::millis(1, 5),
        request: Duration::from_millis(20),
        ..WorldSettings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn deployments_in_the_fake_world_survive_each_call() {
    let report = conformance::deployment(&FakeRig::many(quick())).await;
    report.assert();
    let delegated = report.not_applicable();
    assert!(delegated.len() == 5 && delegated.iter().all(|name| name.starts_with("delegated")), "{report}");
    assert!(report.to_string().contains("all calls"), "{report}");
}
