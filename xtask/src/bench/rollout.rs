//! How much a rolling update takes beyond what its instances need: measured time ÷ floor.
//!
//! floor = Σ over serial batches of (application-stamped start → listening + (rise − 1) × probe interval + min ready).
//! Draining adds nothing to it here: there is no load, so no request is in flight.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use deployer_core::{
    checks::HttpCheck,
    engine::{Deployment, ProbeSettings},
    journal::FileJournal,
    lock::FileLock,
    model::{Amount, DeploymentId, Epoch, InstancePhase, ReleaseId, Replicas, RolloutSettings, WorkloadId},
    ports::{CallContext, Target as _},
    strategy::{Rolling, RollingSettings},
};
use deployer_local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec};
use deployer_testkit::app::AppSettings;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Instances, and so serial batches, as one may be started at a time.
const INSTANCES: u32 = 4;
const START_DELAY: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);
const START_INTERVAL: Duration = Duration::from_millis(10);

/// What was measured, in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Rollout {
    /// Instances, one replaced after the other.
    pub instances: u32,
    /// How often it was measured.
    pub rounds: usize,
    /// Time from the call until the old set is gone, median.
    pub seconds: f64,
    /// The least that it could take, median.
    pub floor_seconds: f64,
    /// The first ÷ the second, median of the rounds.
    pub ratio: f64,
    /// The worst round.
    pub worst_ratio: f64,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures so many rolling updates, one after the other.
pub(crate) async fn measure(rounds: usize) -> Result<Rollout, Failure> {
    let directory = tempfile::tempdir()?;
    let host = LocalHost::start(LocalSettings::new(directory.path().join("host"))).await?;
    let stand = Stand {
        journal: Arc::new(FileJournal::open(directory.path().join("journal"))?),
        lock: Arc::new(FileLock::open(directory.path().join("journal"))?),
        workload: WorkloadId::new("bench")?,
        host,
    };
    stand.deploy(0)?.run().await?;
    let mut measured = Vec::new();
    for round in 1..=rounds {
        let start = std::time::Instant::now();
        stand.deploy(round)?.run().await?;
        let took = start.elapsed().as_secs_f64();
        measured.push((took, stand.floor().await?.as_secs_f64()));
    }
    stand.host.shutdown(OnShutdown::StopInstances, Duration::from_secs(20)).await?;
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let ratios: Vec<_> = measured.iter().map(|(took, floor)| took / floor).collect();
    Ok(Rollout {
        instances: INSTANCES,
        rounds,
        seconds: median(measured.iter().map(|(took, _)| *took).collect()),
        floor_seconds: median(measured.iter().map(|(_, floor)| *floor).collect()),
        worst_ratio: ratios.iter().copied().fold(0.0, f64::max),
        ratio: median(ratios),
    })
}

struct Stand {
    host: LocalHost,
    journal: Arc<FileJournal>,
    lock: Arc<FileLock>,
    workload: WorkloadId,
}

/// What the application says of its own start, in milliseconds of the wall clock.
#[derive(Debug, Deserialize)]
struct Started {
    process_start_ms: u64,
    listening_ms: u64,
}

impl Stand {
    fn deploy(&self, round: usize) -> Result<Deployment, Failure> {
        let release = ReleaseId::new(format!("r{round}"))?;
        let mut app = AppSettings::new(release.as_str(), 0);
        app.start_delay = START_DELAY;
        let mut process = ProcessSpec::new(std::env::current_exe()?);
        for argument in app.arguments().into_iter().filter(|argument| !argument.starts_with("PORT=")) {
            process = process.argument(argument);
        }
        let rolling = RollingSettings {
            surge: Amount::Count(1),
            settle_window: Duration::ZERO,
            ..RollingSettings::default()
        };
        Ok(Deployment::builder(self.workload.clone())
            .release(process.release(release))
            .replicas(Replicas::Fixed(INSTANCES))
            .strategy(Rolling::new(rolling)?)
            .target(self.host.target())
            .router(self.host.router(self.workload.clone(), ([127, 0, 0, 1], 0).into()))
            .check(HttpCheck::get("/healthz").build().map_err(deployer_core::error::Problems)?)
            .probing(ProbeSettings {
                interval: INTERVAL,
                start_interval: START_INTERVAL,
                ..ProbeSettings::default()
            })
            .settings(RolloutSettings::default())
            .journal(self.journal.clone())
            .lock(self.lock.clone())
            .build()?)
    }

    /// Sum over the instances that run now, each of which was a batch of its own.
    async fn floor(&self) -> Result<Duration, Failure> {
        let context = CallContext {
            workload: self.workload.clone(),
            deployment: DeploymentId::new("bench")?,
            epoch: Epoch(u64::MAX),
            deadline: Duration::from_secs(5),
        };
        let rise = ProbeSettings::default().health.rise.get();
        let mut floor = Duration::ZERO;
        let view = self.host.target().observe(&context).await?;
        for instance in view.sets.iter().flat_map(|set| &set.instances) {
            if !matches!(instance.phase, InstancePhase::Running { .. }) {
                continue;
            }
            let address = instance.address.ok_or("an instance has no address")?;
            let started: Started = get_json(address, "/started").await?;
            let start = started.listening_ms.saturating_sub(started.process_start_ms);
            floor += Duration::from_millis(start) + INTERVAL * (rise - 1);
        }
        Ok(floor)
    }
}

async fn get_json<T: serde::de::DeserializeOwned>(address: SocketAddr, path: &str) -> Result<T, Failure> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(65_536).read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").ok_or("no body")?.1;
    Ok(serde_json::from_str(body)?)
}
