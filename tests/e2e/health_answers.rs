//! Health endpoints that answer, but not in a way that anybody should wait for.

use std::{fs, time::Duration};

use deployer::{
    engine::ProbeSettings,
    error::{DeployError, report},
    model::RolloutSettings,
};
use deployer_testkit::{
    app::{AppSettings, Health},
    cases::say,
};

use crate::{
    recipes::{Kind, app},
    stand::{Stand, WEB, ended, load, settings},
};

pub(crate) async fn a_byte_a_second_is_not_healthy(stand: &Stand) {
    let error = deploy_with(stand, Health::Slow).await;
    assert!(error.contains("within"), "{error}");
}

pub(crate) async fn ten_gigabytes_are_not_healthy_and_not_kept(stand: &Stand) {
    const MEBIBYTE: u64 = 1024;
    let before = kibibytes("VmHWM:");
    let error = deploy_with(stand, Health::Endless).await;
    let grown = kibibytes("VmHWM:").saturating_sub(before);
    say(&format!("    the peak of this process grew by {grown} KiB"));
    assert!(grown < 64 * MEBIBYTE, "{grown} KiB were kept of an endless answer");
    assert!(error.contains("body"), "{error}");
}

/// Deploys a release whose health endpoint behaves so, under load; it has to be taken back with no effect.
async fn deploy_with(stand: &Stand, health: Health) -> String {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let before = stand.world(WEB).await;
    let bad = AppSettings { health, ..app("v2") };
    let deployment = stand
        .deployment(WEB, &bad, Kind::Rolling)
        .probing(ProbeSettings { timeout: Duration::from_millis(300), ..ProbeSettings::default() })
        .settings(RolloutSettings { start_deadline: Duration::from_secs(2), ..settings() })
        .build()
        .unwrap();
    let error = deployment.run().await.unwrap_err();
    assert!(matches!(error, DeployError::RolledBack { .. }), "{error:?}");
    let error = report(&error);
    say(&format!("    {error}"));
    assert!(error.contains("not verified within 2 s"), "{error}");
    assert_eq!(before, stand.world(WEB).await);
    ended(&format!("health {health}"), load, stand.retried(WEB).await).await.assert_lossless();
    error
}

/// A figure of this process as the kernel counts it.
fn kibibytes(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
