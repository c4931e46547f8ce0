//! What a request costs an nginx with the live router, beside what it costs a plain one with the same settings of its
//! proxy and the same members: interleaved rounds, CPU time of the workers as the kernel counts it.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use deployer_core::{
    model::{DeploymentId, Epoch, Member, Proof, Share, Split, WorkloadId},
    ports::CallContext,
};
use deployer_nginx::{NginxSettings, OwnServer, OwnSettings, RouterKind};
use deployer_testkit::app::AppSettings;
use serde::Serialize;

use super::cpu::{Nginx, RATE, listening, median, program, round};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// As many unused connections to members as the plain one keeps.
const KEEPALIVE: u32 = 64;
/// As many workers as the plain one has.
const WORKERS: u16 = 2;

/// What was measured, in microseconds of CPU time a request.
#[derive(Debug, Serialize)]
pub(crate) struct LiveCpu {
    /// Requests a second.
    pub rate: u32,
    /// Interleaved rounds of each.
    pub rounds: usize,
    /// nginx with the live router, median.
    pub live_micros: f64,
    /// Plain nginx, median.
    pub plain_micros: f64,
    /// The first ÷ the second, median of the rounds.
    pub ratio: f64,
}

/// Measures so many rounds of each.
pub(crate) async fn measure(rounds: usize) -> Result<LiveCpu, Failure> {
    let directory = tempfile::tempdir()?;
    let (old, new) = (Instance::start("v1").await?, Instance::start("v2").await?);
    let executable = program()?;
    let live = start_live(directory.path().join("live"), executable, [old.member()?, new.member()?]).await?;
    // What the live router's location says of the proxy, WebSockets included.
    let maps = "map $http_upgrade $upgrade { \"\" \"\"; default upgrade; } \
                map $http_host $named { \"\" $host; default $http_host; }";
    let lines = "proxy_set_header Host $named; proxy_set_header X-Real-IP $remote_addr; \
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
                 proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection $upgrade;";
    let place = directory.path().join("plain");
    std::fs::create_dir(&place)?;
    let plain = Nginx::with(&place, &[old.member()?, new.member()?], maps, lines)?;
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        let ours = round(live.address, &live.workers().await?).await?;
        let theirs = round(plain.address, &plain.processes()?).await?;
        pairs.push((ours, theirs));
    }
    live.own.stop().await?;
    Ok(LiveCpu {
        rate: RATE,
        rounds,
        live_micros: median(pairs.iter().map(|(ours, _)| *ours).collect()),
        plain_micros: median(pairs.iter().map(|(_, theirs)| *theirs).collect()),
        ratio: median(pairs.iter().map(|(ours, theirs)| ours / theirs).collect()),
    })
}

struct Live {
    own: OwnServer,
    address: SocketAddr,
}

impl Live {
    async fn workers(&self) -> Result<Vec<u32>, Failure> {
        // Those of the configuration before the first workload are just ending.
        for _ in 0..500 {
            let workers = self.own.server().master().await?.workers()?;
            if workers.len() == usize::from(WORKERS) {
                return Ok(workers.iter().map(|worker| worker.pid).collect());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("workers of the configuration before do not end".into())
    }
}

/// Two sets with weights, so that each request is decided about.
async fn start_live(
    directory: std::path::PathBuf,
    executable: std::path::PathBuf,
    [old, new]: [Member; 2],
) -> Result<Live, Failure> {
    let nginx = NginxSettings {
        executable,
        router: Some(RouterKind::Live),
        keepalive: KEEPALIVE,
        ..NginxSettings::default()
    };
    std::fs::create_dir(&directory)?;
    let own = OwnServer::start(
        OwnSettings { nginx, worker_processes: WORKERS, ..OwnSettings::new(directory) },
        &[],
    )
    .await?;
    let workload = WorkloadId::new("cpu")?;
    let address = own.add(&workload, ([127, 0, 0, 1], 0).into()).await?;
    let context = CallContext {
        workload: workload.clone(),
        deployment: DeploymentId::new("bench")?,
        epoch: Epoch(1),
        deadline: Duration::from_secs(10),
    };
    let share = |set: &str, member| {
        let set = set.parse().map_err(|_| "a set has no name")?;
        Ok::<_, Failure>(Share { set, weight: 50, members: vec![member] })
    };
    let split = Split::Serve { shares: vec![share("v1", old)?, share("v2", new)?], routes: Vec::new() };
    let router = own.server().router(workload);
    router.apply(&context, &split).await?;
    let proof = router.current(&context).await?.proof;
    if !matches!(proof, Proof::Proven { .. }) {
        return Err(format!("nginx does not follow: {proof:?}").into());
    }
    Ok(Live { own, address })
}

/// This program as the demo application; killed when dropped.
struct Instance {
    child: Child,
    name: &'static str,
    address: SocketAddr,
}

impl Instance {
    async fn start(name: &'static str) -> Result<Self, Failure> {
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let child = Command::new(std::env::current_exe()?)
            .args(AppSettings::new(name, address.port()).arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let instance = Self { child, name, address };
        listening(address).await?;
        Ok(instance)
    }

    fn member(&self) -> Result<Member, Failure> {
        Ok(Member { instance: format!("{}-1", self.name).parse()?, address: Some(self.address) })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
