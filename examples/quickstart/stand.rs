//! Where it is shown: real processes of this host behind the embedded proxy, in a directory of this user's own.

use std::{net::SocketAddr, os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc, time::Duration};

use deployer::{
    checks::HttpCheck,
    engine::{Deployment, EngineSettings, ProbeSettings},
    event::EventKind,
    gates::{ErrorRate, ErrorRateSettings, SmokeCheck},
    journal::FileJournal,
    local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec, RestartPolicy},
    lock::FileLock,
    model::{AttachPoint, DeploymentId, Epoch, GateId, ReleaseId, Replicas, RolloutSettings, WorkloadId},
    ports::{CallContext, Journal as _},
    strategy::Strategy,
};
use deployer_testkit::app::AppSettings;

use crate::scene::{self, Nature, REPLICAS, Scene};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long after its start an instance has to be healthy.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(2);
/// How long requests in flight may take to end.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);
/// How long the error rate is looked at, at each step.
pub(crate) const OBSERVE: Duration = Duration::from_millis(300);

/// Real processes of this host behind the embedded proxy.
#[derive(Debug)]
pub(crate) struct Stand {
    directory: PathBuf,
    host: LocalHost,
    journal: Arc<FileJournal>,
    lock: Arc<FileLock>,
}

impl Stand {
    /// The directory of this user: the same at the next run, so that a run that was killed is found again.
    pub(crate) fn directory() -> Result<PathBuf, Failure> {
        let user = std::fs::metadata("/proc/self")?.uid();
        Ok(std::env::temp_dir().join(format!("deployer-quickstart-{user}")))
    }

    pub(crate) async fn open() -> Result<Self, Failure> {
        let directory = Self::directory()?;
        let host = LocalHost::start(LocalSettings::new(&directory)).await?;
        let journal = Arc::new(FileJournal::open(directory.join("journal"))?);
        let lock = Arc::new(FileLock::open(directory.join("journal"))?);
        Ok(Self { directory, host, journal, lock })
    }

    /// Stops everything and removes the directory.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.host.shutdown(OnShutdown::StopInstances, Duration::from_secs(20)).await?;
        std::fs::remove_dir_all(&self.directory)?;
        Ok(())
    }

    /// The scene that an earlier run was killed in, if there is one.
    pub(crate) async fn unfinished(&self) -> Result<Option<Scene>, Failure> {
        for scene in scene::all() {
            for id in self.journal.list(&scene.workload()?).await? {
                let events = self.journal.load(&id).await?;
                let is_it = |kind: &EventKind| matches!(kind, EventKind::RolloutStarted { plan, .. } if plan.release.id.as_str() == scene.release);
                let ended =
                    events.last().is_some_and(|e| matches!(e.kind, EventKind::DeploymentFinished { .. }));
                if !ended && events.iter().any(|event| is_it(&event.kind)) {
                    return Ok(Some(scene));
                }
            }
        }
        Ok(None)
    }

    /// Where the workload answers.
    pub(crate) async fn address(&self, workload: &WorkloadId) -> Result<SocketAddr, Failure> {
        Ok(self.host.router(workload.clone(), ([127, 0, 0, 1], 0).into()).bind(&context(workload)?).await?)
    }

    /// Requests that the proxy of a workload sent again because they had never been written.
    pub(crate) async fn retried(&self, workload: &WorkloadId) -> Result<u64, Failure> {
        let router = self.host.router(workload.clone(), ([127, 0, 0, 1], 0).into());
        Ok(router.stats(&context(workload)?).await?.sets.iter().map(|set| set.retried).sum())
    }

    /// v1, without load: there is nothing to lose yet.
    pub(crate) fn first(&self, scene: &Scene) -> Result<Deployment, Failure> {
        let app = scene::app("v1", Nature::Good);
        self.deployment(scene.workload()?, ReleaseId::new("v1")?, &app, scene.strategy()?, false)
    }

    pub(crate) fn of(&self, scene: &Scene) -> Result<Deployment, Failure> {
        let judged = scene.kind != "recreate";
        self.deployment(scene.workload()?, scene.release_id()?, &scene.app(), scene.strategy()?, judged)
    }

    fn deployment(
        &self,
        workload: WorkloadId,
        release: ReleaseId,
        app: &AppSettings,
        strategy: Arc<dyn Strategy>,
        judged: bool,
    ) -> Result<Deployment, Failure> {
        let mut process = ProcessSpec::new(std::env::current_exe()?).restart(RestartPolicy::Never);
        // The helper says by the environment which port it is.
        for argument in app.arguments().into_iter().filter(|argument| !argument.starts_with("PORT=")) {
            process = process.argument(argument);
        }
        let smoke = HttpCheck::get("/smoke").build().map_err(deployer::error::Problems)?;
        let healthy = HttpCheck::get("/healthz").build().map_err(deployer::error::Problems)?;
        let errors = ErrorRateSettings {
            observe: OBSERVE,
            every: Duration::from_millis(100),
            minimum_samples: 10,
            ..ErrorRateSettings::default()
        };
        let metrics = self.host.metrics(workload.clone());
        let errors = Arc::new(ErrorRate::new(metrics, errors).map_err(deployer::error::Problems)?);
        let router = self.host.router(workload.clone(), ([127, 0, 0, 1], 0).into());
        let mut builder = Deployment::builder(workload)
            .release(process.release(release))
            .replicas(Replicas::Fixed(REPLICAS))
            .strategy(strategy)
            .target(self.host.target())
            .router(router)
            .check(healthy)
            .probing(probing())
            .gate(AttachPoint::BeforeTraffic, GateId::new("smoke")?, SmokeCheck::new(Arc::new(smoke)))
            .settings(settings())
            .engine(EngineSettings::default())
            .journal(self.journal.clone())
            .lock(self.lock.clone());
        if judged {
            builder = builder.gate(AttachPoint::EachStep, GateId::new("errors")?, errors.clone()).gate(
                AttachPoint::Bake,
                GateId::new("errors")?,
                errors,
            );
        }
        Ok(builder.build()?)
    }
}

fn context(workload: &WorkloadId) -> Result<CallContext, Failure> {
    Ok(CallContext {
        workload: workload.clone(),
        deployment: DeploymentId::new("quickstart")?,
        epoch: Epoch(0),
        deadline: Duration::from_secs(10),
    })
}

pub(crate) fn probing() -> ProbeSettings {
    ProbeSettings {
        interval: Duration::from_millis(100),
        start_interval: Duration::from_millis(20),
        ..ProbeSettings::default()
    }
}

pub(crate) fn settings() -> RolloutSettings {
    RolloutSettings { start_deadline: START_DEADLINE, drain: DRAIN, ..RolloutSettings::default() }
}
