//! What a request costs the embedded proxy, beside what it costs nginx on the same backend: interleaved rounds, CPU
//! time of the processes as the kernel counts it.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use deployer_core::{
    model::{
        DeploymentId, Epoch, Member, PinnedRelease, ReleaseId, SetId, SetSpec, Share, Split, WorkloadId,
    },
    ports::{CallContext, Target as _, TrafficRouter as _},
};
use deployer_local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec};
use deployer_testkit::{
    app::AppSettings,
    load::{Load, Mix},
};
use serde::Serialize;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Requests a second, all on kept connections.
pub(super) const RATE: u32 = 4000;
const ROUND: Duration = Duration::from_secs(4);

/// What was measured, in microseconds of CPU time a request.
#[derive(Debug, Serialize)]
pub(crate) struct Cpu {
    /// Requests a second.
    pub rate: u32,
    /// Interleaved rounds of each.
    pub rounds: usize,
    /// The embedded proxy, median.
    pub proxy_micros: f64,
    /// nginx, median.
    pub nginx_micros: f64,
    /// The first ÷ the second, median of the rounds.
    pub ratio: f64,
}

/// Measures so many rounds of each.
pub(crate) async fn measure(rounds: usize) -> Result<Cpu, Failure> {
    let directory = tempfile::tempdir()?;
    let host = LocalHost::start(LocalSettings::new(directory.path().join("host"))).await?;
    let proxy = start_proxy(&host).await?;
    let nginx = Nginx::start(directory.path(), &proxy.members)?;
    let helper = host.helper().await?;
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        let ours = round(proxy.address, &[helper]).await?;
        let theirs = round(nginx.address, &nginx.processes()?).await?;
        pairs.push((ours, theirs));
    }
    drop(nginx);
    host.shutdown(OnShutdown::StopInstances, Duration::from_secs(20)).await?;
    Ok(Cpu {
        rate: RATE,
        rounds,
        proxy_micros: median(pairs.iter().map(|(ours, _)| *ours).collect()),
        nginx_micros: median(pairs.iter().map(|(_, theirs)| *theirs).collect()),
        ratio: median(pairs.iter().map(|(ours, theirs)| ours / theirs).collect()),
    })
}

/// The one in the middle; of an even number the upper one.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU microseconds a request.
pub(super) async fn round(address: SocketAddr, processes: &[u32]) -> Result<f64, Failure> {
    let before = cpu_micros(processes)?;
    let mix = Mix { keep_alive_get: 1, ..Mix::NONE };
    let load = Load::builder(address).rate(RATE).connections(64).mix(mix).maximum_duration(ROUND).start()?;
    tokio::time::sleep(ROUND).await;
    let result = load.stop().await;
    let spent = cpu_micros(processes)? - before;
    if !result.is_valid() || result.failed > 0 {
        return Err(format!("the load on {address} is not valid\n{result}").into());
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
    Ok(spent / result.succeeded as f64)
}

/// User and system time of processes, from the kernel's nanosecond counts of their threads.
fn cpu_micros(processes: &[u32]) -> Result<f64, Failure> {
    let mut nanos = 0.0;
    for process in processes {
        for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanos += text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0);
        }
    }
    Ok(nanos / 1000.0)
}

struct Proxy {
    address: SocketAddr,
    members: Vec<Member>,
}

async fn start_proxy(host: &LocalHost) -> Result<Proxy, Failure> {
    let context = CallContext {
        workload: WorkloadId::new("cpu")?,
        deployment: DeploymentId::new("bench")?,
        epoch: Epoch(1),
        deadline: Duration::from_secs(10),
    };
    let mut process = ProcessSpec::new(std::env::current_exe()?);
    for argument in
        AppSettings::new("v1", 0).arguments().into_iter().filter(|argument| !argument.starts_with("PORT="))
    {
        process = process.argument(argument);
    }
    let release = process.release(ReleaseId::new("v1")?);
    let target = host.target();
    let artifact = target.prepare(&context, &release).await?;
    let set = SetId::from(&release.id);
    let spec = SetSpec { set: set.clone(), replicas: 2, remove_first: Vec::new() };
    target.apply(&context, &PinnedRelease { release, artifact }, &spec).await?;
    let view = target.observe(&context).await?;
    let instances = view.sets.iter().flat_map(|set| &set.instances);
    let members: Vec<_> = instances.map(|i| Member { instance: i.id.clone(), address: i.address }).collect();
    for member in &members {
        listening(member.address.ok_or("an instance has no address")?).await?;
    }
    let router = host.router(context.workload.clone(), ([127, 0, 0, 1], 0).into());
    let address = router.bind(&context).await?;
    let shares = vec![Share { set, weight: 1, members: members.clone() }];
    router.apply(&context, &Split::Serve { shares, routes: Vec::new() }).await?;
    Ok(Proxy { address, members })
}

pub(super) async fn listening(address: SocketAddr) -> Result<(), Failure> {
    for _ in 0..500 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("nothing listens on {address}").into())
}

pub(super) struct Nginx {
    master: Child,
    pub(super) address: SocketAddr,
}

impl Nginx {
    /// Two workers, as the embedded proxy has two threads for data on two cores.
    fn start(directory: &Path, members: &[Member]) -> Result<Self, Failure> {
        Self::with(
            directory,
            members,
            "",
            "proxy_set_header Connection \"\"; proxy_set_header X-Forwarded-For $remote_addr;",
        )
    }

    /// With these maps, and these lines in its location.
    pub(super) fn with(
        directory: &Path,
        members: &[Member],
        maps: &str,
        lines: &str,
    ) -> Result<Self, Failure> {
        let program = program()?;
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let servers: String =
            members.iter().filter_map(|member| Some(format!("server {};", member.address?))).collect();
        let config = format!(
            "worker_processes 2; daemon off; pid nginx.pid; error_log error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; \
             scgi_temp_path s;\n\
             {maps} upstream app {{ {servers} keepalive 64; }}\n\
             server {{ listen {address}; keepalive_requests 1000000;\n\
             location / {{ proxy_pass http://app; proxy_http_version 1.1; {lines} }} }} }}\n"
        );
        let file = directory.join("nginx.conf");
        std::fs::write(&file, config)?;
        let master = Command::new(program)
            .arg("-p")
            .arg(directory)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let nginx = Self { master, address };
        for _ in 0..500 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(nginx);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("nginx does not answer on {address}; see {}", directory.join("error.log").display())
            .into())
    }

    pub(super) fn processes(&self) -> Result<Vec<u32>, Failure> {
        let master = self.master.id();
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        Ok(children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
    }
}

/// nginx, installed from the distribution's packages if it is not there.
pub(super) fn program() -> Result<PathBuf, Failure> {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
    let find = || places.iter().map(PathBuf::from).find(|path| path.exists());
    if let Some(program) = find() {
        return Ok(program);
    }
    for arguments in
        [&["update", "-q"][..], &["install", "-y", "-q", "--no-install-recommends", "nginx-light"]]
    {
        let status = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            break;
        }
    }
    find().ok_or_else(|| "nginx is not installed; run `apt-get install nginx-light` as root".into())
}
