//! The main job on one machine, nothing to install: real processes are replaced under load, by each strategy in turn,
//! and bad releases are taken back by themselves.
//!
//! `cargo run --release --example quickstart`; with `--json` the last line is one JSON object. Kill it at any point
//! (`kill -9`): traffic goes on, and the same command again resumes and ends what was begun.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to people")]

mod scene;
mod show;
mod stand;

use std::{process::ExitCode, time::Duration};

use deployer::{
    engine::Deployment,
    error::{DeployError, report},
    event::line,
};
use deployer_testkit::load::Load;
use futures::StreamExt as _;

use scene::Scene;
use show::{Row, Rows};
use stand::{Failure, Stand};

fn main() -> ExitCode {
    deployer::local::init();
    deployer_testkit::app::run_if_asked();
    let json = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--json" => true,
        other => {
            eprintln!("unknown arguments {other:?}; the only one is --json");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(json)) {
        Ok(rows) => finish(&rows, json),
        Err(error) => {
            eprintln!("quickstart: {}", report(&*error));
            ExitCode::FAILURE
        }
    }
}

fn finish(rows: &Rows, json: bool) -> ExitCode {
    say(json, &format!("\n{}", show::table(rows)));
    let wrong: Vec<_> = rows.deployments.iter().filter_map(|row| Some((row, row.wrong.as_ref()?))).collect();
    for (row, why) in &wrong {
        say(json, &format!("{} by {}: {why}", row.release, row.strategy));
    }
    if json && let Ok(line) = serde_json::to_string(rows) {
        println!("{line}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// With `--json` standard output belongs to the machine.
fn say(json: bool, text: &str) {
    if json { eprintln!("{text}") } else { println!("{text}") }
}

async fn run(json: bool) -> Result<Rows, Failure> {
    let mut stand = Stand::open().await?;
    say(json, &show::settings());
    let mut rows = Rows { deployments: Vec::new() };
    if let Some(scene) = stand.unfinished().await? {
        say(
            json,
            &format!(
                "\nan earlier run was killed while it deployed {} by {}: resuming",
                scene.release, scene.kind
            ),
        );
        rows.deployments.push(play(&stand, &scene, json).await?);
        say(json, "\nit ended well; now all of it from the start");
    }
    stand.close().await?;
    stand = Stand::open().await?;
    for scene in scene::all() {
        if scene.nature == scene::Nature::Good {
            say(json, &format!("\n== {}: starting {} instances of v1", scene.kind, scene::REPLICAS));
            stand.first(&scene)?.run().await?;
        }
        say(json, &format!("\n== {}: deploying {}", scene.kind, scene.release));
        rows.deployments.push(play(&stand, &scene, json).await?);
    }
    stand.close().await?;
    Ok(rows)
}

/// Deploys one release under load.
async fn play(stand: &Stand, scene: &Scene, json: bool) -> Result<Row, Failure> {
    let workload = scene.workload()?;
    let address = stand.address(&workload).await?;
    let deployment = stand.of(scene)?;
    let load = Load::builder(address).rate(500).maximum_duration(Duration::from_secs(120)).start()?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let retried_before = stand.retried(&workload).await?;
    let started = std::time::Instant::now();
    let outcome = watch(&deployment, &load, json).await?;
    let took = started.elapsed();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let load = load.stop().await;
    let retried = stand.retried(&workload).await?.saturating_sub(retried_before);
    let row = Row::judge(scene, outcome, took, &load, retried);
    say(
        json,
        &format!(
            "   {outcome} in {:.2} s; {} requests, {} failed, {retried} retried by the proxy",
            row.seconds, row.requests, row.failed
        ),
    );
    Ok(row)
}

/// Runs a deployment and shows its events as they come.
async fn watch(
    deployment: &Deployment,
    load: &deployer_testkit::load::LoadHandle,
    json: bool,
) -> Result<&'static str, Failure> {
    let mut events = deployment.events();
    let run = deployment.run();
    tokio::pin!(run);
    let result = loop {
        tokio::select! {
            result = &mut run => break result,
            Some(event) = events.next() => {
                let so_far = load.snapshot();
                say(json, &format!("   {}  [{} requests, {} failed]", line(&event), so_far.requests, so_far.failed));
            }
        }
    };
    match result {
        Ok(_) => Ok("succeeded"),
        Err(DeployError::RolledBack { cause, .. }) => {
            say(json, &format!("   taken back: {cause}"));
            Ok("rolled_back")
        }
        Err(DeployError::Aborted { .. }) => Ok("aborted"),
        Err(error @ DeployError::Stuck { .. }) => {
            say(json, &format!("   {}", report(&error)));
            Ok("stuck")
        }
        Err(error @ DeployError::Refused(_)) => {
            say(json, &format!("   {}", report(&error)));
            Ok("refused")
        }
        Err(error) => Err(error.into()),
    }
}
