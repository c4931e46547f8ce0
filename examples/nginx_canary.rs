//! A canary behind nginx: 10 %, 25 % and 100 % of the traffic by weight, and at each step the error rate that nginx counts
//! decides.
//!
//! `cargo run --example nginx_canary --features nginx`, with `--json` for programs. It starts an nginx of its own and real
//! processes in a temporary folder, without root, and removes them. Figures go to standard error.
#![allow(clippy::print_stderr, reason = "an example talks to people")]

#[path = "nginx/stand.rs"]
mod stand;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use deployer::{
    engine::{Deployment, Report},
    error::{DeployError, Problems},
    event::EventKind,
    gates::{ErrorRate, ErrorRateSettings},
    model::{AttachPoint, GateId, Percent, Split},
    strategy::{Canary, CanarySettings, CanaryStep, Command, StepPause},
};
use deployer_testkit::{
    app::{AppSettings, run_if_asked},
    cases::say,
    example::Deployments,
};
use futures::StreamExt as _;
use stand::{Failure, Stand, app};

fn main() -> ExitCode {
    deployer::local::init();
    run_if_asked();
    match story() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nginx_canary: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn story() -> Result<(), Failure> {
    let stand = Stand::open().await?;
    deployment(&stand, &app("v1"))?.run().await?;
    say("v1 is live: two processes behind nginx");
    let mut deployments = Deployments::new();

    let load = stand.load()?;
    let start = Instant::now();
    let ended = show(&deployment(&stand, &app("v2"))?).await;
    let took = start.elapsed();
    let load = load.stop().await;
    eprintln!("v2: {} of {} requests failed", load.failed, load.requests);
    deployments.note("canary", "v2", took, &ended, &load);
    ended?;
    let lossless = load.is_lossless();
    say(&format!("v2 is live; lossless: {lossless}"));

    let bad = AppSettings { errors: Percent::new(50)?, ..app("v3") };
    let load = stand.load()?;
    let start = Instant::now();
    let ended = show(&deployment(&stand, &bad)?).await;
    let took = start.elapsed();
    let load = load.stop().await;
    deployments.note("canary", "v3", took, &ended, &load);
    let Err(DeployError::RolledBack { cause, .. }) = ended else { return Err(format!("{ended:?}").into()) };
    eprintln!("v3: {cause}; {} of {} requests failed", load.failed, load.requests);
    let own = load.by_version.get("v3").map_or(0, |answers| answers.failed);
    say(&format!("v3 is taken back; nothing but its own answers failed: {}", own == load.failed));

    stand.close().await?;
    deployments.finish();
    if lossless && own == load.failed { Ok(()) } else { Err(load.to_string().into()) }
}

fn deployment(stand: &Stand, app: &AppSettings) -> Result<Deployment, Failure> {
    let mut steps = Vec::new();
    for weight in [10, 25] {
        steps.push(CanaryStep { weight: Percent::new(weight)?, instances: None, pause: StepPause::None });
    }
    let settings = CanarySettings { steps, bake: Duration::from_millis(500), ..CanarySettings::default() };
    let errors = ErrorRateSettings {
        observe: Duration::from_secs(1),
        every: Duration::from_millis(100),
        minimum_samples: 10,
        ..ErrorRateSettings::default()
    };
    let mut builder = stand.deployment(app)?.strategy(Canary::new(settings)?);
    // The first release has nobody before it, and no requests to be judged by.
    if app.release != "v1" {
        let gate = Arc::new(ErrorRate::new(stand.metrics()?, errors).map_err(Problems)?);
        builder = builder.gate(AttachPoint::EachStep, GateId::new("errors")?, gate);
    }
    Ok(builder.build()?)
}

/// Runs it, and says how the traffic is shared whenever that changes.
async fn show(deployment: &Deployment) -> Result<Report, DeployError> {
    let mut events = deployment.events();
    let showing = async {
        let mut last = String::new();
        while let Some(event) = events.next().await {
            let EventKind::Intent { commands, .. } = &event.kind else { continue };
            for command in commands {
                let Command::Shift(split) = command else { continue };
                let now = shares(split);
                if now != last {
                    say(&format!("  {now}"));
                    last = now;
                }
            }
        }
    };
    tokio::join!(deployment.run(), showing).0
}

fn shares(split: &Split) -> String {
    let total = split.total_weight().max(1);
    let share =
        |share: &deployer::model::Share| format!("{} {} %", share.set, u64::from(share.weight) * 100 / total);
    split.shares().iter().map(share).collect::<Vec<_>>().join(", ")
}
