//! Processes of this host as a rig.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    checks::HttpCheck,
    engine::{DeploymentBuilder, ProbeSettings},
    model::{Epoch, InstanceId, Release, ReleaseId, SetId, WorkloadId},
    ports::{CallContext, HealthCheck, Target, TrafficRouter},
};
use deployer_local::{LocalHost, LocalSettings, OnShutdown, ProcessSpec, RestartPolicy};
use deployer_testkit::{
    app::{AppSettings, OnTerminate},
    conformance::{Backends, DeploymentRig, RealInstance, ReleaseKind, TargetRig},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::processes::{kill, marked};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Processes of this host as a rig.
#[derive(Debug)]
pub(crate) struct LocalRig {
    pub(crate) host: LocalHost,
    pub(crate) backends: Backends,
}

impl LocalRig {
    pub(crate) async fn start(directory: &Path) -> Self {
        Self {
            host: LocalHost::start(LocalSettings::new(directory)).await.unwrap(),
            backends: Backends::new(),
        }
    }

    pub(crate) async fn shutdown(&self) {
        self.host.shutdown(OnShutdown::StopInstances, LIMIT).await.unwrap();
    }

    pub(crate) fn context(workload: &WorkloadId) -> CallContext {
        CallContext {
            workload: workload.clone(),
            deployment: "by-hand".parse().unwrap(),
            epoch: Epoch(u64::MAX),
            deadline: LIMIT,
        }
    }

    /// Where a workload answers.
    pub(crate) async fn address(&self, workload: &WorkloadId) -> SocketAddr {
        self.host.router(workload.clone(), any_port()).bind(&Self::context(workload)).await.unwrap()
    }

    /// Everything of a workload goes, its listener too.
    pub(crate) async fn forget(&self, workload: &WorkloadId) {
        let (context, target) = (Self::context(workload), self.host.target());
        self.host.router(workload.clone(), any_port()).release(&context).await.unwrap();
        let deadline = Instant::now() + LIMIT;
        loop {
            let sets = target.observe(&context).await.unwrap().sets;
            if sets.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {sets:?}");
            for set in sets {
                target.remove(&context, &set.set).await.unwrap();
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// This program as the demo application. The helper says by the environment which port it is.
fn process(app: &AppSettings) -> ProcessSpec {
    let arguments = app.arguments().into_iter().filter(|argument| !argument.starts_with("PORT="));
    arguments
        .fold(ProcessSpec::new(std::env::current_exe().unwrap()), ProcessSpec::argument)
        .restart(RestartPolicy::Never)
        .stop_grace(Duration::from_secs(1))
}

#[async_trait]
impl TargetRig for LocalRig {
    async fn target(&self, _workload: &WorkloadId) -> Arc<dyn Target> {
        self.host.target()
    }

    fn release(&self, id: ReleaseId, kind: ReleaseKind) -> Option<Release> {
        let mut app = AppSettings::new("good", 0);
        match kind {
            ReleaseKind::Good => {}
            ReleaseKind::OtherGood => app = AppSettings::new("other", 0),
            ReleaseKind::Missing => return Some(ProcessSpec::new("/nowhere/to/be/found").release(id)),
            ReleaseKind::ExitsAtOnce => app.exit_at_start = Some(3),
            ReleaseKind::IgnoresStop => app.on_terminate = OnTerminate::Ignore,
            _ => return None,
        }
        Some(process(&app).release(id))
    }

    fn wrong_config(&self, id: ReleaseId) -> Option<(Release, Vec<String>)> {
        let spec = process(&AppSettings::new("wrong", 0)).working_directory("/nowhere").log_limit(1);
        Some((spec.release(id), ["working_directory", "log_limit"].map(str::to_owned).to_vec()))
    }

    async fn reality(&self, workload: &WorkloadId) -> Option<Vec<RealInstance>> {
        let ours = marked(self.host.directory()).into_iter().filter(|one| one.workload == workload.as_str());
        let real = ours.map(|one| RealInstance {
            instance: InstanceId::new(&one.instance).unwrap(),
            set: SetId::new(&one.set).unwrap(),
            deployment: Some(one.deployment.parse().unwrap()),
            epoch: Some(Epoch(one.epoch)),
        });
        Some(real.collect())
    }

    async fn kill(&self, workload: &WorkloadId, instance: &InstanceId) -> bool {
        let is_it = |one: &&crate::processes::Marked| {
            one.workload == workload.as_str() && one.instance == instance.as_str()
        };
        let all = marked(self.host.directory());
        all.iter().filter(is_it).for_each(|one| kill(one.pid));
        true
    }

    async fn answers(&self, address: SocketAddr) -> Option<bool> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if TcpStream::connect(address).await.is_ok() {
                return Some(true);
            }
            sleep(Duration::from_millis(5)).await;
        }
        Some(false)
    }

    async fn clean_up(&self, workload: &WorkloadId) {
        self.forget(workload).await;
    }
}

#[async_trait]
impl DeploymentRig for LocalRig {
    async fn router(&self, workload: &WorkloadId) -> Option<Arc<dyn TrafficRouter>> {
        Some(self.host.router(workload.clone(), any_port()))
    }

    async fn check(&self, _workload: &WorkloadId) -> Option<Arc<dyn HealthCheck>> {
        Some(Arc::new(HttpCheck::get("/healthz").build().unwrap()))
    }

    fn adjust(&self, deployment: DeploymentBuilder) -> DeploymentBuilder {
        deployment.probing(ProbeSettings {
            interval: Duration::from_millis(100),
            start_interval: Duration::from_millis(20),
            // A machine that is busy with other things is no bad release.
            timeout: Duration::from_secs(5),
            ..ProbeSettings::default()
        })
    }

    fn budget(&self) -> Duration {
        Duration::from_secs(6)
    }
}
