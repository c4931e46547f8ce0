//! A unit test of one's own tool against a mocked target: what does it tell its users if the image does not exist?
//!
//! `cargo run --example mocked_target --features mock`, with `--json` for programs.

use std::time::Duration;

use deployer::{
    engine::{Deployment, Report},
    error::{BackendError, DeployError, ErrorKind},
    mock::MockTarget,
    model::{Place, PlaceStatus, PlaceView, Release, TargetCapabilities, WorkloadView},
    ports::Target,
    strategy::Rolling,
};
use deployer_testkit::{cases::say, example::Deployments, world::WorldSettings};

/// The user's own tool: it puts a release live and words the end in its own way.
async fn put_live(target: impl Target, release: &str) -> (Result<Report, DeployError>, String) {
    let release = Release {
        id: release.try_into().expect("a word of the program"),
        artifact: format!("registry.example/web:{release}"),
        config: serde_json::Value::Null,
        secrets: Vec::new(),
    };
    let strategy = Rolling::default();
    let deployment =
        Deployment::builder("web").release(release).replicas(2).strategy(strategy).target(target);
    let ended = match deployment.build() {
        Ok(deployment) => deployment.run().await,
        Err(error) => Err(error),
    };
    let words = match &ended {
        Ok(_) => "live".to_owned(),
        Err(DeployError::Refused(problems)) => format!("nothing was touched: {}", problems[0].message),
        Err(error) => error.to_string(),
    };
    (ended, words)
}

/// The user's unit test.
async fn a_missing_image_is_reported_and_nothing_is_started() -> Result<Report, DeployError> {
    let mut target = MockTarget::new();
    target.expect_name().return_const("cluster".to_owned());
    target.expect_capabilities().returning(capabilities);
    target.expect_watch().returning(|_| Err(BackendError::new(ErrorKind::Unsupported, "watch", "no hints")));
    target.expect_observe().returning(|_| Ok(nothing_runs()));
    target.expect_prepare().times(1).returning(|_, release| {
        Err(BackendError::new(ErrorKind::NotFound, "pull", format!("{} does not exist", release.artifact)))
    });
    target.expect_apply().never();
    let (ended, words) = put_live(target, "v2").await;
    say(&words);
    assert!(words.contains("nothing was touched") && words.contains("web:v2 does not exist"), "{words}");
    ended
}

fn capabilities() -> TargetCapabilities {
    WorldSettings::default().target
}

fn nothing_runs() -> WorkloadView {
    let place =
        PlaceView { place: Place::new("node-1").expect("a word of the program"), status: PlaceStatus::Known };
    WorkloadView { places: vec![place], sets: Vec::new() }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let ended = a_missing_image_is_reported_and_nothing_is_started().await;
    let mut deployments = Deployments::new();
    deployments.add("rolling", "v2", Duration::ZERO, &ended);
    deployments.finish();
}
