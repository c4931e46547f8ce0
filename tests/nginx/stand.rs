//! One nginx, one helper, and deployments of this program behind them.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use deployer::{
    checks::HttpCheck,
    engine::{Deployment, DeploymentBuilder, ProbeSettings},
    journal::FileJournal,
    local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec, RestartPolicy},
    lock::FileLock,
    model::{ReleaseId, RolloutSettings, WorkloadId},
    nginx::{LiveMetrics, NginxSettings, OwnServer, OwnSettings, RouterKind, metrics::AccessLogMetrics},
    ports::{MetricSource, TrafficRouter},
};
use deployer_testkit::{
    app::AppSettings,
    cases::say,
    load::{Load, LoadBuilder, LoadHandle, LoadResult},
};

use crate::{
    processes::{LIMIT, Leftovers, marked},
    recipes::{Kind, app},
};

/// Instances of the workload.
pub(crate) const REPLICAS: u32 = 3;
/// How long a machine that is busy with other things may stand still.
const PATIENCE: Duration = Duration::from_secs(5);
const CASE_LIMIT: Duration = Duration::from_secs(90);

/// One nginx, one helper, journal and lock.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) own: OwnServer,
    pub(crate) host: LocalHost,
    pub(crate) address: SocketAddr,
    workload: WorkloadId,
    journal: Arc<FileJournal>,
    lock: Arc<FileLock>,
}

/// Runs a case at a stand of its own with this router; nothing is left of it, however the case ends.
pub(crate) fn with(kind: RouterKind, case: impl AsyncFnOnce(&Stand)) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().canonicalize().unwrap();
    let left = Leftovers(place.join("h"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let stand = Stand::open(&place, kind).await;
        let in_time = tokio::time::timeout(CASE_LIMIT, case(&stand)).await;
        assert!(in_time.is_ok(), "the case has not ended within {CASE_LIMIT:?}");
        stand.host.shutdown(OnShutdown::StopInstances, LIMIT).await.unwrap();
        stand.own.stop().await.unwrap();
    });
    assert_eq!(marked(&left.0), [], "instances are left after the shutdown");
    let deadline = Instant::now() + LIMIT;
    while !left.helpers().is_empty() {
        assert!(Instant::now() < deadline, "helpers {:?} are left after the shutdown", left.helpers());
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Stand {
    async fn open(directory: &Path, kind: RouterKind) -> Self {
        let nginx = NginxSettings { router: Some(kind), ..NginxSettings::default() };
        let is_there = nginx.executable.exists();
        assert!(
            is_there,
            "these tests need nginx: apt-get install nginx libnginx-mod-http-lua lua-resty-core"
        );
        let settings = OwnSettings { nginx, outcomes_log: true, ..OwnSettings::new(directory.join("n")) };
        let own = OwnServer::start(settings, &[]).await.unwrap();
        let workload = WorkloadId::new("web").unwrap();
        let address = own.add(&workload, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let host = LocalHost::start(LocalSettings::new(directory.join("h"))).await.unwrap();
        let state = directory.join("j");
        let stand = Self {
            own,
            host,
            address,
            workload,
            journal: Arc::new(FileJournal::open(&state).unwrap()),
            lock: Arc::new(FileLock::open(&state).unwrap()),
        };
        // Without load: there is nothing to lose yet.
        stand.deployment("v1", Kind::BlueGreen).build().unwrap().run().await.unwrap();
        stand.assert_live("v1");
        stand
    }

    pub(crate) fn kind(&self) -> RouterKind {
        self.own.server().choice().kind
    }

    pub(crate) fn router(&self) -> Arc<dyn TrafficRouter> {
        self.own.server().router(self.workload.clone())
    }

    /// What the router itself counts, else what nginx writes down.
    pub(crate) fn metrics(&self) -> Arc<dyn MetricSource> {
        match self.kind() {
            RouterKind::Live => Arc::new(LiveMetrics::new(self.own.server().clone(), self.workload.clone())),
            RouterKind::Reload => {
                let log = self.own.outcomes_log().unwrap();
                Arc::new(AccessLogMetrics::new(self.workload.clone(), log, self.router()))
            }
        }
    }

    pub(crate) fn deployment(&self, release: &str, kind: Kind) -> DeploymentBuilder {
        self.deployment_of(&app(release), kind)
    }

    /// A deployment of this program as a release.
    pub(crate) fn deployment_of(&self, app: &AppSettings, kind: Kind) -> DeploymentBuilder {
        let process = process(app);
        Deployment::builder(self.workload.clone())
            .target(self.host.target_for(&process))
            .release(process.release(ReleaseId::new(&app.release).unwrap()))
            .replicas(REPLICAS)
            .strategy(kind.strategy())
            .router(self.router())
            .check(HttpCheck::get("/healthz").build().unwrap())
            .probing(ProbeSettings {
                interval: Duration::from_millis(100),
                start_interval: Duration::from_millis(20),
                // A machine that is busy with other things is no bad release.
                timeout: PATIENCE,
                ..ProbeSettings::default()
            })
            .settings(settings())
            .journal(self.journal.clone())
            .lock(self.lock.clone())
    }

    /// Process numbers of one set.
    pub(crate) fn pids(&self, set: &str) -> Vec<u32> {
        let of_set = marked(self.host.directory()).into_iter().filter(|marked| marked.set == set);
        of_set.map(|marked| marked.pid).collect()
    }

    /// Fails unless exactly the replicas of this release run, and nothing else.
    #[track_caller]
    pub(crate) fn assert_live(&self, release: &str) {
        let found = marked(self.host.directory());
        let is_whole = found.len() == REPLICAS as usize && found.iter().all(|marked| marked.set == release);
        assert!(is_whole, "{REPLICAS} processes of {release} should run: {found:#?}");
    }
}

pub(crate) fn settings() -> RolloutSettings {
    RolloutSettings {
        start_deadline: Duration::from_secs(10),
        drain: Duration::from_secs(10),
        ..RolloutSettings::default()
    }
}

/// This program as the demo application. The helper says by the environment which port it is.
fn process(app: &AppSettings) -> ProcessSpec {
    let arguments = app.arguments().into_iter().filter(|argument| !argument.starts_with("PORT="));
    arguments
        .fold(ProcessSpec::new(std::env::current_exe().unwrap()), ProcessSpec::argument)
        .restart(RestartPolicy::Never)
}

/// A load that waits out a machine which is busy with other things: that is no loss.
pub(crate) fn patient(address: SocketAddr) -> LoadBuilder {
    let builder = Load::builder(address).maximum_duration(Duration::from_secs(120));
    builder.timeout(2 * PATIENCE).send_within(PATIENCE)
}

/// Waits until so many more requests have been answered.
pub(crate) async fn answered(load: &LoadHandle, more: u64) {
    let wanted = load.snapshot().succeeded + more;
    let deadline = tokio::time::Instant::now() + LIMIT;
    while load.snapshot().succeeded < wanted {
        assert!(tokio::time::Instant::now() < deadline, "no answers:\n{}", load.snapshot());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Ends a load and says what it found out.
pub(crate) async fn ended(what: &str, load: LoadHandle) -> LoadResult {
    answered(&load, 20).await;
    let result = load.stop().await;
    let gap = result.longest_gap.as_millis();
    say(&format!("    {what}: failed {} of {}, longest gap {gap} ms", result.failed, result.requests));
    result
}
