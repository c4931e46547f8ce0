//! Blue-green behind nginx: two sets on ports, one switch, and one switch back as long as the old set is kept warm.
//!
//! `cargo run --example nginx_blue_green --features nginx`, with `--json` for programs. It starts an nginx of its own and
//! real processes in a temporary folder, without root, and removes them. Figures go to standard error.
#![allow(clippy::print_stderr, reason = "an example talks to people")]

#[path = "nginx/stand.rs"]
#[allow(dead_code, reason = "the other example uses the rest of it")]
mod stand;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use deployer::{
    engine::Deployment,
    error::DeployError,
    event::EventKind,
    strategy::{BlueGreen, BlueGreenSettings, Phase},
};
use deployer_testkit::{app::run_if_asked, cases::say, example::Deployments};
use futures::StreamExt as _;
use stand::{Failure, Stand, app};

fn main() -> ExitCode {
    deployer::local::init();
    run_if_asked();
    match story() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nginx_blue_green: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn story() -> Result<(), Failure> {
    let stand = Stand::open().await?;
    deployment(&stand, "v1", 0)?.run().await?;
    say("v1 is live: two processes behind nginx");
    let mut deployments = Deployments::new();

    let load = stand.load()?;
    let start = Instant::now();
    let ended = deployment(&stand, "v2", 1)?.run().await;
    let took = start.elapsed();
    let load = load.stop().await;
    eprintln!("the switch to v2: {} of {} requests failed", load.failed, load.requests);
    deployments.note("blue-green", "v2", took, &ended, &load);
    ended?;
    say(&format!("v2 is live, v1 was kept warm for 1 s and is gone; lossless: {}", load.is_lossless()));

    let load = stand.load()?;
    let start = Instant::now();
    let v3 = deployment(&stand, "v3", 30)?;
    let (ended, asked) = tokio::join!(v3.run(), take_back_once_live(&v3));
    let took = start.elapsed();
    let load = load.stop().await;
    deployments.note("blue-green", "v3", took, &ended, &load);
    let Err(DeployError::Aborted { reason, .. }) = ended else { return Err(format!("{ended:?}").into()) };
    let last = load.by_version.get("v3").map_or(Duration::ZERO, |answers| answers.last_answer);
    eprintln!(
        "the way back: {} of {} requests failed, v3 answered last {:.1} ms after it was asked for",
        load.failed,
        load.requests,
        (last.as_secs_f64() - (asked - start).as_secs_f64()) * 1000.0
    );
    say(&format!("v2 is live again, because {reason}; lossless: {}", load.is_lossless()));

    stand.close().await?;
    deployments.finish();
    if load.is_lossless() { Ok(()) } else { Err(load.to_string().into()) }
}

/// The old set is kept warm for so many seconds after the switch: so long the way back is one switch, too.
fn deployment(stand: &Stand, release: &str, warm: u64) -> Result<Deployment, Failure> {
    let settings = BlueGreenSettings { bake: Duration::from_secs(warm), ..BlueGreenSettings::default() };
    Ok(stand.deployment(&app(release))?.strategy(BlueGreen::new(settings)?).build()?)
}

/// A person who sees what they do not want to see. Says when they asked.
async fn take_back_once_live(deployment: &Deployment) -> Instant {
    let mut events = deployment.events();
    let is_live =
        |kind: &EventKind| matches!(kind, EventKind::Advanced { state, .. } if state.phase == Phase::Baking);
    while let Some(event) = events.next().await {
        if is_live(&event.kind) {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    say("v3 has all the traffic, v2 is kept warm, and somebody wants v2 back");
    deployment.control().abort("v3 looks wrong");
    Instant::now()
}
