//! What the nginx examples share: an nginx of their own and processes of this host, in a temporary folder.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use deployer::{
    checks::HttpCheck,
    engine::{Deployment, DeploymentBuilder, ProbeSettings},
    error::Problems,
    journal::FileJournal,
    local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec},
    lock::FileLock,
    model::{ReleaseId, WorkloadId},
    nginx::{LiveMetrics, OwnServer, OwnSettings, RouterKind, metrics::AccessLogMetrics},
    ports::MetricSource,
};
use deployer_testkit::{
    app::AppSettings,
    load::{Load, LoadHandle, Mix},
};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// An nginx of its own, and the processes behind it.
pub(crate) struct Stand {
    pub(crate) workload: WorkloadId,
    own: OwnServer,
    host: LocalHost,
    address: SocketAddr,
    journal: Arc<FileJournal>,
    lock: Arc<FileLock>,
    _folder: tempfile::TempDir,
}

impl Stand {
    pub(crate) async fn open() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let settings = OwnSettings { outcomes_log: true, ..OwnSettings::new(folder.path().join("nginx")) };
        if !settings.nginx.executable.exists() {
            return Err("no nginx here: apt-get install nginx libnginx-mod-http-lua lua-resty-core".into());
        }
        let own = OwnServer::start(settings, &[]).await?;
        let workload = WorkloadId::new("web")?;
        let address = own.add(&workload, ([127, 0, 0, 1], 0).into()).await?;
        let server = own.server();
        eprintln!("nginx {} on {address}, {}", server.capabilities().version, server.choice());
        let host = LocalHost::start(LocalSettings::new(folder.path().join("host"))).await?;
        let state = folder.path().join("journal");
        let (journal, lock) = (FileJournal::open(&state)?, FileLock::open(&state)?);
        let (journal, lock) = (Arc::new(journal), Arc::new(lock));
        Ok(Self { workload, own, host, address, journal, lock, _folder: folder })
    }

    /// A deployment of the demo application, two processes on ports of their own, without a strategy yet.
    pub(crate) fn deployment(&self, app: &AppSettings) -> Result<DeploymentBuilder, Failure> {
        let mut process = ProcessSpec::new(std::env::current_exe()?);
        for argument in app.arguments().into_iter().filter(|argument| !argument.starts_with("PORT=")) {
            process = process.argument(argument);
        }
        let probing = ProbeSettings { interval: Duration::from_millis(100), ..ProbeSettings::default() };
        Ok(Deployment::builder(self.workload.clone())
            .target(self.host.target_for(&process))
            .release(process.release(ReleaseId::new(&app.release)?))
            .replicas(2)
            .router(self.own.server().router(self.workload.clone()))
            .check(HttpCheck::get("/healthz").build().map_err(Problems)?)
            .probing(probing)
            .journal(self.journal.clone())
            .lock(self.lock.clone()))
    }

    /// What nginx itself counts, or, where it cannot, what it writes into its access log.
    pub(crate) fn metrics(&self) -> Result<Arc<dyn MetricSource>, Failure> {
        let server = self.own.server();
        if server.choice().kind == RouterKind::Live {
            return Ok(Arc::new(LiveMetrics::new(server.clone(), self.workload.clone())));
        }
        let log = self.own.outcomes_log().ok_or("this nginx writes no log")?;
        let router = server.router(self.workload.clone());
        Ok(Arc::new(AccessLogMetrics::new(self.workload.clone(), log, router)))
    }

    /// 300 requests a second. A reload of nginx closes kept connections, so there each request has one of its own.
    pub(crate) fn load(&self) -> Result<LoadHandle, Failure> {
        let mix = match self.own.server().choice().kind {
            RouterKind::Live => Mix::default(),
            RouterKind::Reload => Mix { fresh_get: 1, fresh_post: 1, ..Mix::NONE },
        };
        Ok(Load::builder(self.address)
            .rate(300)
            .mix(mix)
            .maximum_duration(Duration::from_secs(120))
            .start()?)
    }

    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.host.shutdown(OnShutdown::StopInstances, Duration::from_secs(20)).await?;
        self.own.stop().await?;
        Ok(())
    }
}

/// A release of the demo application. Told to stop it exits at once, with whatever it is answering.
pub(crate) fn app(release: &str) -> AppSettings {
    AppSettings { start_delay: Duration::from_millis(100), ..AppSettings::new(release, 0) }
}
