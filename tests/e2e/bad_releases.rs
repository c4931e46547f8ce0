//! Releases that are bad: taken back by themselves, with a reason and evidence, and nobody notices.

use std::{sync::Arc, time::Duration};

use deployer::{
    checks::HttpCheck,
    engine::{Deployment, DeploymentBuilder, Report},
    error::{DeployError, Problems, report},
    event::EventKind,
    gates::{ErrorRate, ErrorRateSettings, SmokeCheck},
    model::{AttachPoint, Percent, RolloutSettings, WorkloadId},
    strategy::{Outcome, Phase},
};
use deployer_testkit::{
    app::{AppSettings, Health, Smoke},
    cases::say,
    load::FailureKind,
};
use futures::StreamExt as _;

use crate::{
    processes::kill,
    recipes::{Kind, app},
    stand::{REPLICAS, Stand, WEB, World, ended, load, settings},
};

const RATE: u32 = 200;

/// What is told at the end: the error as users print it, and the report.
struct Told {
    error: String,
    report: Report,
}

/// Runs a deployment that has to be taken back.
async fn taken_back(deployment: &Deployment) -> Told {
    let error = deployment.run().await.expect_err("a bad release went live");
    assert!(matches!(error, DeployError::RolledBack { .. }), "{error:?}");
    let told = Told { error: report(&error), report: deployment.report().unwrap() };
    assert!(matches!(told.report.outcome, Some(Outcome::RolledBack { .. })), "{}", told.report);
    say(&format!("    {}", told.error));
    told
}

impl Told {
    #[track_caller]
    fn has(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.error.contains(part), "{part:?} is not in: {}", self.error);
        }
    }
}

/// The old processes go on, and have all the traffic.
#[track_caller]
fn assert_back(before: &World, after: &World) {
    assert_eq!(before, after);
    assert_eq!(before.processes.len(), REPLICAS as usize);
}

/// Short, because what does not start is waited for that long.
fn impatient(builder: DeploymentBuilder) -> DeploymentBuilder {
    builder.settings(RolloutSettings { start_deadline: Duration::from_millis(1500), ..settings() })
}

pub(crate) async fn never_healthy_is_taken_back(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, RATE).await;
    let before = stand.world(WEB).await;
    let bad = AppSettings { health: Health::Never, ..app("v2") };
    let told = taken_back(&impatient(stand.deployment(WEB, &bad, Kind::Rolling)).build().unwrap()).await;
    told.has(&["not verified within 1.5 s", "500", "demo application v2 listening on"]);
    let log = &told.report.evidence[0].evidence.log;
    assert!(log.contains("demo application v2 listening on"), "{log}");
    assert_back(&before, &stand.world(WEB).await);
    ended("never healthy, rolling", load, stand.retried(WEB).await).await.assert_lossless();
}

pub(crate) async fn a_failed_smoke_check_is_taken_back(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, RATE).await;
    let before = stand.world(WEB).await;
    let bad = AppSettings { smoke: Smoke::Fail, ..app("v2") };
    let smoke = HttpCheck::get("/smoke").build().unwrap();
    let deployment = stand.deployment(WEB, &bad, Kind::BlueGreen).gate(
        AttachPoint::BeforeTraffic,
        "smoke",
        SmokeCheck::new(Arc::new(smoke)),
    );
    let told = taken_back(&deployment.build().unwrap()).await;
    told.has(&["gate smoke failed", "500"]);
    assert_back(&before, &stand.world(WEB).await);
    let result = ended("smoke check fails, blue-green", load, stand.retried(WEB).await).await;
    result.assert_lossless();
    assert!(!result.by_version.contains_key("v2"), "it got traffic:\n{result}");
}

pub(crate) async fn errors_are_taken_back_and_nothing_else_fails(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, RATE).await;
    let before = stand.world(WEB).await;
    let bad = AppSettings { errors: Percent::new(50).unwrap(), ..app("v2") };
    let settings = ErrorRateSettings {
        observe: Duration::from_millis(200),
        every: Duration::from_millis(100),
        minimum_samples: 10,
        ..ErrorRateSettings::default()
    };
    let metrics = stand.host.metrics(WorkloadId::new(WEB).unwrap());
    let gate = Arc::new(ErrorRate::new(metrics, settings).map_err(Problems).unwrap());
    let deployment = stand.deployment(WEB, &bad, Kind::Canary).gate(AttachPoint::EachStep, "errors", gate);
    let told = taken_back(&deployment.build().unwrap()).await;
    told.has(&["gate errors failed", "%"]);
    assert_back(&before, &stand.world(WEB).await);
    let result = ended("half of the answers are errors, canary", load, stand.retried(WEB).await).await;
    assert!(result.is_valid(), "{result}");
    let of_v2 = &result.by_version["v2"];
    assert!(of_v2.failed > 0 && result.failed == of_v2.failed, "others failed too:\n{result}");
    assert_eq!(result.failed, result.failed_as(FailureKind::Status5xx), "{result}");
    assert!(of_v2.total * 2 < result.requests, "the canary got most of the traffic:\n{result}");
}

pub(crate) async fn an_exit_at_start_is_taken_back_with_its_exit_code(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, RATE).await;
    let before = stand.world(WEB).await;
    let bad = AppSettings { exit_at_start: Some(3), ..app("v2") };
    let started = std::time::Instant::now();
    let told = taken_back(&stand.deployment(WEB, &bad, Kind::Rolling).build().unwrap()).await;
    told.has(&["3", "asked to exit at start"]);
    let evidence = &told.report.evidence[0].evidence;
    let exit = evidence.exit.as_deref().unwrap_or_default();
    assert!(exit.contains('3'), "{evidence:?}");
    assert!(started.elapsed() < settings().start_deadline, "it was waited for although it had ended");
    assert_back(&before, &stand.world(WEB).await);
    ended("exits at start, rolling", load, stand.retried(WEB).await).await.assert_lossless();
}

/// A crash loses what it was answering, which no deployer can give back: that is bounded here, and printed.
pub(crate) async fn a_crash_in_the_bake_time_is_taken_back(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, RATE).await;
    let before = stand.world(WEB).await;
    let deployment = stand.deployment(WEB, &app("v2"), Kind::BlueGreen).build().unwrap();
    let mut events = deployment.events();
    let crash = async {
        let bakes = |kind: &EventKind| matches!(kind, EventKind::Advanced { state, .. } if state.phase == Phase::Baking);
        while !bakes(&events.next().await.expect("it reaches the bake time").kind) {}
        kill(stand.pids("v2")[0]);
    };
    let (told, ()) = tokio::join!(taken_back(&deployment), crash);
    told.has(&["1 of 3 new instances failed", "signal 9"]);
    let evidence = &told.report.evidence[0].evidence;
    assert!(evidence.log.contains("demo application v2 listening on"), "{evidence:?}");
    assert_back(&before, &stand.world(WEB).await);
    let result = ended("a crash in the bake time, blue-green", load, stand.retried(WEB).await).await;
    // A third of 200 a second for 20 ms each is one or two; the same again for the jitter of a busy machine.
    assert!(result.failed <= 8 && result.is_valid(), "more is lost than it was answering:\n{result}");
}
