//! What makes no sense is refused by name, with the way out, and the release that runs is not touched.

use std::{fmt::Debug, fs, net::TcpListener, os::unix::fs::PermissionsExt as _, str::FromStr};

use deployer::{
    checks::HttpSettings,
    engine::{Deployment, DeploymentBuilder, EngineSettings, ProbeSettings},
    error::{DeployError, report},
    gates::ErrorRateSettings,
    local::{PortChoice, ProcessSpec, RestartPolicy, proxy::ProxySettings},
    model::{Amount, Percent, ReleaseId, Replicas, RolloutSettings, WorkloadId},
    strategy::{Rolling, RollingSettings, StrategySettings},
};
use serde::de::DeserializeOwned;

use crate::{
    children::Other,
    recipes::{Kind, app},
    stand::{Stand, WEB, ended, load, process},
};

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// Fails in `build` or in `run`; the world is as before.
async fn fails(stand: &Stand, builder: DeploymentBuilder, parts: &[&str]) -> DeployError {
    let before = stand.world(WEB).await;
    let error = match builder.build() {
        Ok(deployment) => deployment.run().await.expect_err(&format!("{parts:?} was deployed")),
        Err(error) => error,
    };
    assert_says(&report(&error), parts);
    assert_eq!(before, stand.world(WEB).await, "{error} had an effect");
    error
}

pub(crate) async fn bad_artifacts_change_nothing(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let files = stand.directory();
    let plain = files.join("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    let garbage = files.join("garbage");
    fs::write(&garbage, "garbage").unwrap();
    fs::set_permissions(&garbage, fs::Permissions::from_mode(0o755)).unwrap();
    let of = |process: ProcessSpec| stand.deployment_of(WEB, "v2", process, Kind::Rolling);

    fails(stand, of(ProcessSpec::new("/missing/program")), &["/missing/program", "does not exist", "v2"])
        .await;
    fails(stand, of(ProcessSpec::new(&plain)), &["plain", "not executable", "chmod +x"]).await;
    fails(stand, of(ProcessSpec::new(&garbage)), &["garbage", "neither an ELF file nor a script"]).await;
    fails(stand, of(ProcessSpec::new(files)), &["is not a file"]).await;
    fails(stand, of(ProcessSpec::new("program")), &["program", "absolute path"]).await;
    let variable = process(&app("v2")).variable("A B", "1");
    fails(stand, of(variable), &["\"A B\"", "config.environment", "[A-Za-z_]"]).await;

    let mut release = process(&app("v2")).release(ReleaseId::new("v2").unwrap());
    release.config["stop_grase"] = 3.into();
    let unknown = stand.deployment(WEB, &app("v2"), Kind::Rolling).release(release);
    fails(stand, unknown, &["config", "stop_grase", "stop_grace"]).await;
    ended("seven artifacts that are none", load, stand.retried(WEB).await).await.assert_lossless();
}

pub(crate) async fn a_taken_port_changes_nothing(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let process = process(&app("v2")).port(PortChoice::Fixed(port));
    // It has to stop old instances first, and must not begin with that.
    let builder = stand.deployment_of(WEB, "v2", process.clone(), Kind::Rolling).replicas(1);
    fails(stand, builder, &[&format!("port {port} is taken")]).await;
    let unannounced = stand.deployment_of(WEB, "v2", process, Kind::Rolling).target(stand.host.target());
    fails(stand, unannounced, &[&format!("port {port}"), "target_for"]).await;
    ended("a fixed port that is taken", load, stand.retried(WEB).await).await.assert_lossless();
}

pub(crate) async fn a_taken_router_address_changes_nothing(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let router = |workload: &str| stand.host.router(WorkloadId::new(workload).unwrap(), address);
    let other = stand.deployment("other", &app("v1"), Kind::BlueGreen).router(router("other"));
    let error = fails(stand, other, &[&address.to_string(), "in use", "choose another port"]).await;
    assert!(matches!(error, DeployError::Refused(_)), "{error:?}");
    assert_eq!(stand.processes("other"), [], "nothing runs that nobody can reach");
    // A workload that listens elsewhere already.
    let elsewhere = stand.deployment(WEB, &app("v2"), Kind::Rolling).router(router(WEB));
    let error = fails(stand, elsewhere, &[&address.to_string(), "listens on", "release that"]).await;
    assert!(matches!(error, DeployError::Refused(_)), "{error:?}");
    ended("a router address that is taken", load, stand.retried(WEB).await).await.assert_lossless();
}

pub(crate) async fn descriptions_that_make_no_sense_are_refused(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let good = |kind| stand.deployment(WEB, &app("v2"), kind);
    for name in ["", "-rf", "../../etc", "a b", "a;reboot", "a\nb", "$(reboot)", "a\0", &"x".repeat(64)] {
        let named = Deployment::builder(name).replicas(1).strategy(Rolling::default());
        let error = fails(stand, named, &["workload name", "release", "target"]).await;
        assert!(matches!(error, DeployError::Refused(_)), "{error:?}");
        assert!(!report(&error).contains('\n') && !report(&error).contains('\0'), "{error:?}");
        fails(stand, good(Kind::Rolling).id(name), &["id", "deployment name"]).await;
    }
    fails(stand, good(Kind::Rolling).replicas(Replicas::Fixed(0)), &["replicas", "at least 1"]).await;
    for kind in [Kind::BlueGreen, Kind::Canary] {
        let builder = without_router(stand).strategy(kind.strategy());
        fails(stand, builder, &[kind.name(), "no router", "use rolling or recreate"]).await;
    }
    // All at once.
    let engine = EngineSettings { call_deadline: std::time::Duration::ZERO, ..EngineSettings::default() };
    let many = good(Kind::Rolling).replicas(0).engine(engine).id("a b");
    fails(stand, many, &["replicas", "engine.call_deadline", "deployment name"]).await;
    ended("descriptions that make no sense", load, stand.retried(WEB).await).await.assert_lossless();
}

fn without_router(stand: &Stand) -> DeploymentBuilder {
    Deployment::builder(WEB)
        .release(process(&app("v2")).release(ReleaseId::new("v2").unwrap()))
        .replicas(3)
        .target(stand.host.target())
}

#[track_caller]
fn unread<T: DeserializeOwned + Debug>(text: &str, parts: &[&str]) {
    let error = serde_json::from_str::<T>(text).expect_err(text).to_string();
    assert_says(&error, parts);
}

pub(crate) async fn settings_as_text_are_checked(stand: &Stand) {
    unread::<RolloutSettings>(r#"{"drian": 3}"#, &["drian", "drain"]);
    unread::<RolloutSettings>(r#"{"drain": -1}"#, &["-1 s", "0 or more"]);
    unread::<RolloutSettings>(r#"{"failure_ratio": 101}"#, &["101", "100"]);
    unread::<EngineSettings>(r#"{"call_dedline": 3}"#, &["call_dedline", "call_deadline"]);
    unread::<ProbeSettings>(r#"{"intervall": 3}"#, &["intervall", "interval"]);
    unread::<HttpSettings>(r#"{"pathh": "/"}"#, &["pathh", "path"]);
    unread::<ErrorRateSettings>(r#"{"obsrve": 3}"#, &["obsrve", "observe"]);
    unread::<ProxySettings>(r#"{"conect_timeout": 3}"#, &["conect_timeout", "connect_timeout"]);
    unread::<ProcessSpec>(r#"{"argumnts": []}"#, &["argumnts", "arguments"]);
    unread::<RestartPolicy>(r#"{"on_failure": {"max": 3, "backof": 1}}"#, &["backof", "backoff"]);
    unread::<StrategySettings>(r#"{"strategy": "yolo"}"#, &["yolo", "rolling"]);
    unread::<StrategySettings>(r#"{"strategy": "rolling", "surgee": 1}"#, &["surgee", "surge"]);
    unread::<StrategySettings>(r#"{"strategy": "rolling", "surge": "101%"}"#, &["101%", "100%"]);
    unread::<StrategySettings>(r#"{"strategy": "canary", "steps": [{"weight": 101}]}"#, &["101%", "100%"]);
    unread::<StrategySettings>(r#"{"strategy": "canary", "steps": [{"wieght": 1}]}"#, &["wieght", "weight"]);

    assert_says(&Percent::new(101).unwrap_err(), &["101%", "100%"]);
    assert_says(&Amount::from_str("101%").unwrap_err(), &["101%", "100%"]);
    assert_says(&Amount::from_str("many").unwrap_err(), &["many", "25%"]);
    let nothing = RollingSettings {
        surge: Amount::Count(0),
        max_unavailable: Amount::percent(0).unwrap(),
        ..RollingSettings::default()
    };
    let error = Rolling::new(nothing).unwrap_err().to_string();
    assert_says(&error, &["surge", "max_unavailable", "both zero", "at least 1"]);
    let falling = r#"{"strategy": "canary", "steps": [{"weight": 50}, {"weight": 50}, {"weight": 10}]}"#;
    let error = serde_json::from_str::<StrategySettings>(falling).unwrap().build().unwrap_err().to_string();
    assert_says(&error, &["canary.steps[1]", "canary.steps[2]", "does not rise"]);
    assert_eq!(stand.processes(WEB), [], "nothing came of it");
}

pub(crate) async fn a_lock_of_a_living_owner_is_respected_by_name(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let other = Other::locking(stand.journal.directory());
    let owner = format!(":{}:", other.pid());
    let error =
        fails(stand, stand.deployment(WEB, &app("v2"), Kind::Rolling), &[WEB, "locked", &owner]).await;
    let DeployError::Locked { workload, holder } = error else { panic!("{error:?}") };
    assert_eq!(workload.as_str(), WEB);
    assert!(!holder.dead && holder.owner.contains(&owner), "{holder:?}");
    drop(other);
    // Its death frees it.
    stand.deploy("v2", Kind::Rolling).await.unwrap();
    stand.assert_live(WEB, "v2");
    ended("a lock that somebody holds", load, stand.retried(WEB).await).await.assert_lossless();
}
