//! One helper in a directory of its own, deployments at it, and the end of all that.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use deployer::{
    checks::HttpCheck,
    engine::{Deployment, DeploymentBuilder, EngineSettings, ProbeSettings, Report},
    error::DeployError,
    event::{Event, EventKind},
    journal::FileJournal,
    local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec, RestartPolicy},
    lock::FileLock,
    model::{DeploymentId, Epoch, ReleaseId, RolloutSettings, Split, WorkloadId},
    ports::{CallContext, Journal as _, TrafficRouter as _},
    requests::FileRequests,
};
use deployer_testkit::{
    app::AppSettings,
    cases::say,
    load::{Load, LoadBuilder, LoadHandle, LoadResult},
};

use crate::{
    processes::{LIMIT, Leftovers, Marked, marked},
    recipes::{Kind, app},
};

/// Instances of each workload.
pub(crate) const REPLICAS: u32 = 3;
/// How long a machine that is busy with other things may stand still.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one case may take.
const CASE_LIMIT: Duration = Duration::from_secs(60);
/// The helper's part of a directory.
const HELPER: &str = "h";
/// The workload of most cases.
pub(crate) const WEB: &str = "web";

/// One helper in a directory of its own, with a journal and a lock.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) host: LocalHost,
    pub(crate) journal: Arc<FileJournal>,
    pub(crate) lock: Arc<FileLock>,
    directory: PathBuf,
}

/// Runs a case at a stand of its own; nothing is left of it, however the case ends.
pub(crate) fn with(case: impl AsyncFnOnce(&Stand)) {
    within(CASE_LIMIT, case);
}

/// As [`with`], for a case that may take this long.
pub(crate) fn within(limit: Duration, case: impl AsyncFnOnce(&Stand)) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().canonicalize().unwrap();
    let left = Leftovers(place.join(HELPER));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let stand = Stand::open(&place).await;
        let in_time = tokio::time::timeout(limit, case(&stand)).await;
        assert!(in_time.is_ok(), "the case has not ended within {limit:?}");
        stand.host.shutdown(OnShutdown::StopInstances, LIMIT).await.unwrap();
    });
    assert_eq!(marked(&left.0), [], "instances are left after the shutdown");
    // It has given up its lock, and then still has to exit.
    let deadline = Instant::now() + LIMIT;
    while !left.helpers().is_empty() {
        assert!(Instant::now() < deadline, "helpers {:?} are left after the shutdown", left.helpers());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is there: processes and split.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct World {
    pub(crate) processes: Vec<Marked>,
    pub(crate) split: Split,
}

impl Stand {
    pub(crate) async fn open(directory: &Path) -> Self {
        let host = LocalHost::start(LocalSettings::new(directory.join(HELPER))).await.unwrap();
        let state = directory.join("j");
        Self {
            host,
            journal: Arc::new(FileJournal::open(&state).unwrap()),
            lock: Arc::new(FileLock::open(&state).unwrap()),
            directory: directory.to_owned(),
        }
    }

    /// Where everything of it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A deployment of this program as a release. Cases add to it what they are about.
    pub(crate) fn deployment(&self, workload: &str, app: &AppSettings, kind: Kind) -> DeploymentBuilder {
        self.deployment_of(workload, &app.release, process(app), kind)
    }

    /// A deployment of a process as a release.
    pub(crate) fn deployment_of(
        &self,
        workload: &str,
        release: &str,
        process: ProcessSpec,
        kind: Kind,
    ) -> DeploymentBuilder {
        self.bare(workload, release, process, kind)
            .engine(EngineSettings::default())
            .journal(self.journal.clone())
            .lock(self.lock.clone())
            .requests(FileRequests::open(self.journal.directory()).unwrap())
    }

    /// The same without what a pipeline says for all its rollouts.
    pub(crate) fn bare(
        &self,
        workload: &str,
        release: &str,
        process: ProcessSpec,
        kind: Kind,
    ) -> DeploymentBuilder {
        let workload = WorkloadId::new(workload).unwrap();
        Deployment::builder(workload.clone())
            .target(self.host.target_for(&process))
            .release(process.release(ReleaseId::new(release).unwrap()))
            .replicas(REPLICAS)
            .strategy(kind.strategy())
            .router(self.host.router(workload, any_port()))
            .check(HttpCheck::get("/healthz").build().unwrap())
            .probing(ProbeSettings {
                interval: Duration::from_millis(100),
                start_interval: Duration::from_millis(20),
                // A machine that is busy with other things is no bad release.
                timeout: PATIENCE,
                ..ProbeSettings::default()
            })
            .settings(settings())
    }

    /// Puts v1 live, without load: there is nothing to lose yet.
    pub(crate) async fn serve_v1(&self, workload: &str) -> SocketAddr {
        let deployment = self.deployment(workload, &app("v1"), Kind::BlueGreen).build().unwrap();
        deployment.run().await.unwrap();
        self.assert_live(workload, "v1");
        self.address(workload).await
    }

    /// Deploys under the load that runs.
    pub(crate) async fn deploy(&self, release: &str, kind: Kind) -> Result<Report, DeployError> {
        self.deployment(WEB, &app(release), kind).build()?.run().await
    }

    /// Where a workload answers.
    pub(crate) async fn address(&self, workload: &str) -> SocketAddr {
        let context = context(workload, Epoch(0));
        self.host.router(context.workload.clone(), any_port()).bind(&context).await.unwrap()
    }

    /// Requests that the proxy of a workload sent again because they had never been written.
    pub(crate) async fn retried(&self, workload: &str) -> u64 {
        let context = context(workload, Epoch(0));
        let stats = self.host.router(context.workload.clone(), any_port()).stats(&context).await.unwrap();
        stats.sets.iter().map(|set| set.retried).sum()
    }

    /// What is there now.
    pub(crate) async fn world(&self, workload: &str) -> World {
        let context = context(workload, Epoch(0));
        let router = self.host.router(context.workload.clone(), any_port());
        World { processes: self.processes(workload), split: router.current(&context).await.unwrap().split }
    }

    /// Instances of a workload as the kernel lists them.
    pub(crate) fn processes(&self, workload: &str) -> Vec<Marked> {
        let mut all = marked(self.host.directory());
        all.retain(|marked| marked.workload == workload);
        all
    }

    /// Process numbers of one set.
    pub(crate) fn pids(&self, set: &str) -> Vec<u32> {
        let of_set = marked(self.host.directory()).into_iter().filter(|marked| marked.set == set);
        of_set.map(|marked| marked.pid).collect()
    }

    /// Fails unless exactly the replicas of this release run, and nothing else of the workload.
    #[track_caller]
    pub(crate) fn assert_live(&self, workload: &str, release: &str) {
        let found = self.processes(workload);
        let is_whole = found.len() == REPLICAS as usize && found.iter().all(|marked| marked.set == release);
        assert!(is_whole, "{REPLICAS} processes of {release} should run: {found:#?}");
    }

    /// What the newest deployment of a workload journaled; the journal is read anew from its file.
    pub(crate) async fn newest_events(&self, workload: &str) -> Vec<Event> {
        let journal = FileJournal::open(self.journal.directory()).unwrap();
        let newest = journal.list(&WorkloadId::new(workload).unwrap()).await.unwrap().pop().unwrap();
        journal.load(&newest).await.unwrap()
    }

    /// Where the journals of a workload are.
    pub(crate) fn journals(&self, workload: &str) -> PathBuf {
        self.journal.directory().join(workload)
    }
}

/// How long all deployments of these tests are patient.
pub(crate) fn settings() -> RolloutSettings {
    RolloutSettings {
        start_deadline: Duration::from_secs(10),
        drain: Duration::from_secs(10),
        ..RolloutSettings::default()
    }
}

/// This program as the demo application. The helper says by the environment which port it is.
pub(crate) fn process(app: &AppSettings) -> ProcessSpec {
    let arguments = app.arguments().into_iter().filter(|argument| !argument.starts_with("PORT="));
    arguments
        .fold(ProcessSpec::new(std::env::current_exe().unwrap()), ProcessSpec::argument)
        .restart(RestartPolicy::Never)
}

pub(crate) fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub(crate) fn context(workload: &str, epoch: Epoch) -> CallContext {
    CallContext {
        workload: WorkloadId::new(workload).unwrap(),
        deployment: DeploymentId::new("by-hand").unwrap(),
        epoch,
        deadline: LIMIT,
    }
}

/// A load that waits out a machine which is busy with other things: that is no loss.
pub(crate) fn patient(address: SocketAddr) -> LoadBuilder {
    let builder = Load::builder(address).maximum_duration(Duration::from_secs(120));
    builder.timeout(2 * PATIENCE).send_within(PATIENCE)
}

/// A load that has been answered already.
pub(crate) async fn load(address: SocketAddr, rate: u32) -> LoadHandle {
    let load = patient(address).rate(rate).start().unwrap();
    answered(&load, 20).await;
    load
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
pub(crate) async fn ended(what: &str, load: LoadHandle, retried: u64) -> LoadResult {
    answered(&load, 20).await;
    let result = load.stop().await;
    let gap = result.longest_gap.as_millis();
    say(&format!(
        "    {what}: failed {} of {}, retried by the proxy {retried}, longest gap {gap} ms",
        result.failed, result.requests
    ));
    result
}

/// How many records of this kind there are.
pub(crate) fn count(events: &[Event], is_it: impl Fn(&EventKind) -> bool) -> usize {
    events.iter().filter(|event| is_it(&event.kind)).count()
}
