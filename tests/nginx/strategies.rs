//! All strategies under load. The application exits at once on SIGTERM, with whatever it is answering.

use deployer::nginx::RouterKind;
use deployer_testkit::{
    cases::say,
    load::{LoadHandle, Mix},
};

use crate::{
    processes::{LIMIT, kill},
    recipes::Kind,
    stand::{REPLICAS, Stand, answered, ended, patient},
};

const RATE: u32 = 300;

pub(crate) async fn rolling(stand: &Stand) {
    loses_nothing(stand, Kind::Rolling).await;
}

pub(crate) async fn rolling_without_surge(stand: &Stand) {
    loses_nothing(stand, Kind::RollingWithoutSurge).await;
}

pub(crate) async fn blue_green(stand: &Stand) {
    loses_nothing(stand, Kind::BlueGreen).await;
}

pub(crate) async fn canary(stand: &Stand) {
    loses_nothing(stand, Kind::Canary).await;
}

/// Kept connections and new ones behind the live router. A reload closes kept ones, perhaps just when a POST comes in:
/// there those are counted apart, and nothing may be lost on new connections.
async fn loses_nothing(stand: &Stand, kind: Kind) {
    let fresh = Mix { fresh_get: 1, fresh_post: 1, ..Mix::NONE };
    let kept = Mix { keep_alive_post: 1, ..Mix::NONE };
    let (strict, counted) = match stand.kind() {
        RouterKind::Live => (start(stand, Mix { keep_alive_post: 2, ..fresh }).await, None),
        RouterKind::Reload => (start(stand, fresh).await, Some(start(stand, kept).await)),
    };
    let report = stand.deployment("v2", kind).build().unwrap().run().await.unwrap();
    let name = format!("{} by the {}", kind.name(), stand.kind());
    if let Some(counted) = counted {
        let result = ended(&format!("{name}, kept POSTs, which reloads may lose"), counted).await;
        assert!(result.is_valid(), "{result}");
        for (kind, count) in &result.failed_by_kind {
            say(&format!("      {kind}: {count}"));
        }
    }
    let what = if stand.kind() == RouterKind::Live { "kept and new connections" } else { "new connections" };
    let result = ended(&format!("{name}, {what}"), strict).await;
    result.assert_lossless();
    assert!(result.by_version["v1"].total > 0 && result.by_version["v2"].total > 0, "{result}");
    let live = &report.rollouts[0].live;
    assert_eq!((live.len(), live[0].running, live[0].in_rotation), (1, REPLICAS, REPLICAS), "{report}");
    stand.assert_live("v2");
}

/// It interrupts by its nature; how long, is said, and afterwards all is well.
pub(crate) async fn recreate(stand: &Stand) {
    let load = start(stand, Mix { fresh_get: 1, ..Mix::NONE }).await;
    stand.deployment("v2", Kind::Recreate).build().unwrap().run().await.unwrap();
    stand.assert_live("v2");
    let result = ended(&format!("recreate by the {}, which interrupts", stand.kind()), load).await;
    assert!(result.is_valid() && result.by_version["v2"].total > 0, "{result}");
    let after = start(stand, Mix::default()).await;
    ended("after it", after).await.assert_lossless();
}

/// The same load, and the old instances end before anybody tells nginx: the measure must not be blind.
pub(crate) async fn control(stand: &Stand) {
    let load = start(stand, Mix { keep_alive_post: 1, fresh_get: 1, ..Mix::NONE }).await;
    let old = stand.pids("v1");
    assert_eq!(old.len(), REPLICAS as usize);
    old.into_iter().for_each(kill);
    let deadline = std::time::Instant::now() + LIMIT;
    while load.snapshot().failed == 0 && std::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    stand.deployment("v2", Kind::BlueGreen).build().unwrap().run().await.unwrap();
    let result =
        ended(&format!("control run by the {}, which has to lose requests", stand.kind()), load).await;
    assert!(result.failed > 0 && result.is_valid(), "the measure is blind\n{result}");
}

async fn start(stand: &Stand, mix: Mix) -> LoadHandle {
    let load = patient(stand.address).rate(RATE).mix(mix).start().unwrap();
    answered(&load, 20).await;
    load
}
