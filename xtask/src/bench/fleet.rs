//! Many deployments at once in one process, each of a workload in a fake world of its own, in real time: what one costs.
//! The fake world, its journal in memory and the probes are part of what is counted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deployer_core::{
    engine::{Deployment, DeploymentBuilder},
    journal::MemoryJournal,
    lock::MemoryLock,
    model::{ReleaseId, WorkloadId},
    strategy::{BlueGreen, BlueGreenSettings},
};
use deployer_testkit::{
    TestClock,
    world::{World, WorldSettings},
};
use futures::future::{join_all, try_join_all};
use serde::Serialize;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const DEPLOYMENTS: usize = 1000;
/// The most memory that one may add, its fake world included.
pub(crate) const MOST_KIB: f64 = 256.0;
const REPLICAS: u32 = 2;
/// How long the new release is watched, and so how long all of them idle together.
const BAKE: Duration = Duration::from_secs(30);
/// When all of them have come to it.
const IDLE_FROM: Duration = Duration::from_secs(20);
const IDLE_FOR: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Fleet {
    /// How many at once.
    pub deployments: usize,
    /// From the first call until the last one ended, with 30 s of watching in it.
    pub seconds: f64,
    /// Memory that one adds to the process, at the most.
    pub kib_each: f64,
    /// CPU time of one.
    pub cpu_millis_each: f64,
    /// CPU time a second of one that only waits, probes included.
    pub idle_micros_each: f64,
    /// Decisions that one journaled.
    pub decisions_each: f64,
    /// Actions that one took.
    pub actions_each: f64,
}

/// Runs them.
pub(crate) async fn measure() -> Result<Fleet, Failure> {
    let stands = (0..DEPLOYMENTS).map(Stand::new).collect::<Result<Vec<_>, _>>()?;
    // Something to replace. The first deployments are not measured.
    try_join_all(stands.iter().map(|stand| async { run(stand.describe("v1", Duration::ZERO)?).await }))
        .await?;
    let (memory, cpu, started) = (resident_kib()?, cpu_micros()?, Instant::now());
    let deployments = stands.iter().map(|stand| stand.describe("v2", BAKE)).collect::<Result<Vec<_>, _>>()?;
    let runs = join_all(deployments.into_iter().map(run));
    let idle = async {
        tokio::time::sleep(IDLE_FROM).await;
        let (before, most) = (cpu_micros()?, resident_kib()?);
        tokio::time::sleep(IDLE_FOR).await;
        Ok::<_, Failure>((cpu_micros()? - before, most))
    };
    let (reports, idle) = futures::join!(runs, idle);
    let (idle_micros, most) = idle?;
    let reports = reports.into_iter().collect::<Result<Vec<_>, _>>()?;
    let each = |total: f64| total / f64::from(u32::try_from(DEPLOYMENTS).unwrap_or(u32::MAX));
    let (decisions, actions) =
        reports.iter().fold((0, 0), |(decisions, actions), ended| (decisions + ended.0, actions + ended.1));
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
    let counted = |number: u64| each(number as f64);
    Ok(Fleet {
        deployments: DEPLOYMENTS,
        seconds: started.elapsed().as_secs_f64(),
        kib_each: each(most.max(resident_kib()?) - memory),
        cpu_millis_each: each((cpu_micros()? - cpu) / 1000.0),
        idle_micros_each: each(idle_micros / IDLE_FOR.as_secs_f64()),
        decisions_each: counted(decisions),
        actions_each: counted(actions),
    })
}

async fn run(builder: DeploymentBuilder) -> Result<(u64, u64), Failure> {
    let report = builder.build()?.run().await?;
    Ok((report.decisions, report.actions))
}

struct Stand {
    world: World,
    clock: Arc<TestClock>,
    journal: Arc<MemoryJournal>,
    lock: Arc<MemoryLock>,
    workload: WorkloadId,
}

impl Stand {
    fn new(number: usize) -> Result<Self, Failure> {
        let clock = Arc::new(TestClock::new());
        let settings = WorldSettings { seed: number as u64, ..WorldSettings::default() };
        Ok(Self {
            world: World::new(settings, clock.clone()),
            clock,
            journal: Arc::default(),
            lock: Arc::default(),
            workload: WorkloadId::new(format!("web-{number}"))?,
        })
    }

    fn describe(&self, release: &str, bake: Duration) -> Result<DeploymentBuilder, Failure> {
        let strategy = BlueGreen::new(BlueGreenSettings { bake, ..BlueGreenSettings::default() });
        Ok(Deployment::builder(self.workload.clone())
            .release(World::release(ReleaseId::new(release)?).release)
            .replicas(REPLICAS)
            .strategy(strategy.map_err(|problems| format!("{problems:?}"))?)
            .target(self.world.target())
            .router(self.world.router())
            .check(self.world.health())
            .journal(self.journal.clone())
            .lock(self.lock.clone())
            .clock(self.clock.clone()))
    }
}

/// Memory of this process that is in RAM.
fn resident_kib() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// User and system time of this process, from the kernel's nanosecond counts of its threads.
fn cpu_micros() -> Result<f64, Failure> {
    let mut nanos = 0.0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanos += text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(nanos / 1000.0)
}
