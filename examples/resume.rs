//! A deployer that is killed in the middle, and what happens then: instances and proxy go on, and the same command again
//! ends what was begun.
//!
//! `cargo run --example resume`, with `--json` for programs. It starts real processes of this host and removes them.
#![allow(clippy::print_stderr, reason = "an example talks to people")]

use std::{
    path::Path,
    process::{Child, Command, ExitCode},
    time::{Duration, Instant},
};

use deployer::{
    checks::HttpCheck,
    engine::{Deployment, ProbeSettings},
    error::Problems,
    event::EventKind,
    journal::FileJournal,
    local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec},
    lock::FileLock,
    model::{ReleaseId, WorkloadId},
    ports::Journal as _,
    strategy::Rolling,
};
use deployer_testkit::{
    app::{AppSettings, run_if_asked},
    cases::say,
    example::Deployments,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    deployer::local::init();
    run_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [word, directory, release] if word == "deploy" => child(Path::new(directory), release),
        _ => story(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("resume: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn child(directory: &Path, release: &str) -> Result<(), Failure> {
    deployment(directory, release).await?.run().await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn story() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let directory = &directory.path().join("state");
    deployment(directory, "v1").await?.run().await?;
    say("v1 is live");

    let mut deployer = start_deployer(directory, "v2")?;
    wait_for_switch(directory).await?;
    deployer.kill()?;
    deployer.wait()?;
    say("v2 got its first requests, and its deployer was killed");

    let mut deployments = Deployments::new();
    let start = Instant::now();
    let ended = deployment(directory, "v2").await?.run().await;
    deployments.add("rolling", "v2", start.elapsed(), &ended);
    let report = ended?;
    say(&format!("it was resumed {} time", report.resumed));
    for set in &report.rollouts[0].live {
        say(&format!("{}: {} running, {} in rotation", set.set, set.running, set.in_rotation));
    }
    host(directory).await?.shutdown(OnShutdown::StopInstances, Duration::from_secs(20)).await?;
    deployments.finish();
    Ok(())
}

fn start_deployer(directory: &Path, release: &str) -> Result<Child, Failure> {
    Ok(Command::new(std::env::current_exe()?).arg("deploy").arg(directory).arg(release).spawn()?)
}

/// Until the journal says that new instances are about to get requests.
async fn wait_for_switch(directory: &Path) -> Result<(), Failure> {
    let journal = FileJournal::open(directory.join("journal"))?;
    let limit = Instant::now() + Duration::from_secs(60);
    while Instant::now() < limit {
        let newest = journal.list(&WorkloadId::new("web")?).await?.pop().ok_or("v1 has no journal")?;
        let events = journal.load(&newest).await?;
        let of_v2 = |kind: &EventKind| matches!(kind, EventKind::RolloutStarted { plan, .. } if plan.release.id.as_str() == "v2");
        let shifts = |kind: &EventKind| matches!(kind, EventKind::Intent { commands, .. } if commands.iter().any(|command| command.to_string().starts_with("send traffic")));
        if events.iter().any(|event| of_v2(&event.kind)) && events.iter().any(|event| shifts(&event.kind)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err("v2 never got so far".into())
}

async fn host(directory: &Path) -> Result<LocalHost, Failure> {
    Ok(LocalHost::start(LocalSettings::new(directory)).await?)
}

/// The same in every process: that is what makes it one deployment.
async fn deployment(directory: &Path, release: &str) -> Result<Deployment, Failure> {
    let host = host(directory).await?;
    let mut process = ProcessSpec::new(std::env::current_exe()?);
    let app = AppSettings { start_delay: Duration::from_millis(200), ..AppSettings::new(release, 0) };
    for argument in app.arguments().into_iter().filter(|argument| !argument.starts_with("PORT=")) {
        process = process.argument(argument);
    }
    let probing = ProbeSettings { interval: Duration::from_millis(100), ..ProbeSettings::default() };
    let deployment = Deployment::builder("web")
        .release(process.release(ReleaseId::new(release)?))
        .replicas(3)
        .strategy(Rolling::default())
        .target(host.target())
        .router(host.router(WorkloadId::new("web")?, ([127, 0, 0, 1], 0).into()))
        .check(HttpCheck::get("/healthz").build().map_err(Problems)?)
        .probing(probing)
        .journal(FileJournal::open(directory.join("journal"))?)
        .lock(FileLock::open(directory.join("journal"))?);
    Ok(deployment.build()?)
}
