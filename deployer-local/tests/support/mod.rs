//! What the tests of real processes share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use deployer_core::{
    model::{
        DeploymentId, Epoch, Instance, InstanceId, InstancePhase, PinnedRelease, Release, ReleaseId, SetId,
        SetSpec, WorkloadId,
    },
    ports::{CallContext, Target as _},
};
use deployer_local::{HelperProgram, LocalHost, LocalSettings, LocalTarget, ProcessSpec};

/// How long a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_deployer-local-helper");

/// A helper of its own, and the end of all that it left when the test ends, however that happens.
#[derive(Debug)]
pub(crate) struct TestHost {
    pub(crate) host: LocalHost,
    pub(crate) target: Arc<LocalTarget>,
    parent: tempfile::TempDir,
}

impl TestHost {
    pub(crate) async fn start() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let host = LocalHost::start(settings(&parent.path().join("d"))).await.unwrap();
        let target = host.target();
        Self { host, target, parent }
    }

    /// A place for files of the test.
    pub(crate) fn files(&self) -> &Path {
        self.parent.path()
    }

    pub(crate) async fn prepare(&self, name: &str, spec: ProcessSpec) -> PinnedRelease {
        let release = spec.clone().release(ReleaseId::new(name).unwrap());
        let target = self.host.target_for(&spec);
        let artifact = target.prepare(&context(1), &release).await.unwrap();
        PinnedRelease { release, artifact }
    }

    pub(crate) async fn apply(&self, release: &PinnedRelease, replicas: u32, first: &[InstanceId]) {
        self.target.apply(&context(1), release, &size(&release.release, replicas, first)).await.unwrap();
    }

    /// All instances of a set.
    pub(crate) async fn instances(&self, set: &str) -> Vec<Instance> {
        let view = self.target.observe(&context(1)).await.unwrap();
        let set = SetId::new(set).unwrap();
        view.sets.into_iter().find(|view| view.set == set).map(|view| view.instances).unwrap_or_default()
    }

    /// Those that run.
    pub(crate) async fn running(&self, set: &str) -> Vec<InstanceId> {
        let instances = self.instances(set).await.into_iter();
        instances
            .filter(|instance| matches!(instance.phase, InstancePhase::Running { .. }))
            .map(|instance| instance.id)
            .collect()
    }

    /// Waits until the instances of a set are as wanted.
    pub(crate) async fn until(
        &self,
        set: &str,
        what: &str,
        wanted: impl Fn(&[Instance]) -> bool,
    ) -> Vec<Instance> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let instances = self.instances(set).await;
            if wanted(&instances) {
                return instances;
            }
            assert!(Instant::now() < deadline, "not {what} within {LIMIT:?}: {instances:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn until_gone(&self, set: &str) {
        self.until(set, "gone", <[Instance]>::is_empty).await;
    }

    /// The reason of the only instance of a set that failed.
    pub(crate) async fn until_failed(&self, set: &str) -> (Instance, String) {
        let is_failed = |instances: &[Instance]| {
            instances.iter().any(|it| matches!(it.phase, InstancePhase::Failed { .. }))
        };
        let instances = self.until(set, "failed", is_failed).await;
        let [instance] = instances.as_slice() else { panic!("more than one: {instances:#?}") };
        let InstancePhase::Failed { reason } = &instance.phase else { unreachable!("just checked") };
        (instance.clone(), reason.clone())
    }

    /// Kills the helper as a crash would, and waits until it is dead.
    pub(crate) async fn kill_helper(&self) -> u32 {
        let pid = self.host.helper().await.unwrap();
        kill(pid);
        self.until_helper_is_dead().await;
        pid
    }

    /// Not its number is looked at but its socket: the first may be there for long, until its parent reaps it.
    pub(crate) async fn until_helper_is_dead(&self) {
        let socket = self.host.directory().join("socket");
        until("the helper is dead", || std::os::unix::net::UnixStream::connect(&socket).is_err()).await;
    }

    /// Process numbers by instance, as the processes themselves say.
    pub(crate) fn processes(&self) -> Vec<(String, u32)> {
        let state = fs::read_to_string(self.host.directory().join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let mut found = marked(state["host"].as_str().unwrap());
        found.sort();
        found
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        let directory = self.host.directory().to_owned();
        for pid in helpers(&directory) {
            kill(pid);
        }
        for (_, pid) in self.processes() {
            kill(pid);
        }
    }
}

pub(crate) fn settings(directory: &Path) -> LocalSettings {
    LocalSettings::new(directory).helper(HelperProgram::Binary(PathBuf::from(HELPER)))
}

pub(crate) fn context(epoch: u64) -> CallContext {
    CallContext {
        workload: WorkloadId::new("web").unwrap(),
        deployment: DeploymentId::new("d1").unwrap(),
        epoch: Epoch(epoch),
        deadline: LIMIT,
    }
}

pub(crate) fn size(release: &Release, replicas: u32, first: &[InstanceId]) -> SetSpec {
    SetSpec { set: SetId::from(&release.id), replicas, remove_first: first.to_vec() }
}

pub(crate) fn sleeper() -> ProcessSpec {
    ProcessSpec::new("/bin/sleep").argument("600")
}

/// This test program as a service: its test `service` does what `mode` says.
pub(crate) fn serve(mode: &str) -> ProcessSpec {
    let program = std::env::current_exe().unwrap();
    ["service", "--exact", "--nocapture"]
        .into_iter()
        .fold(ProcessSpec::new(program), ProcessSpec::argument)
        .variable("SERVICE", mode)
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// All processes that are, or try to become, the helper of a directory.
pub(crate) fn helpers(directory: &Path) -> Vec<u32> {
    let is_helper = |arguments: &[String]| {
        arguments.get(1).is_some_and(|word| word == "deployer-local-helper")
            && arguments.get(3).is_some_and(|place| Path::new(place) == directory)
    };
    all_processes("cmdline").filter(|(_, arguments)| is_helper(arguments)).map(|(pid, _)| pid).collect()
}

/// Instances and process numbers of all processes with the mark of a helper directory.
pub(crate) fn marked(host: &str) -> Vec<(String, u32)> {
    let mark = format!("DEPLOYER_HOST={host}");
    all_processes("environ")
        .filter(|(_, variables)| variables.contains(&mark))
        .filter_map(|(pid, variables)| {
            let instance = variables.iter().find_map(|entry| entry.strip_prefix("DEPLOYER_INSTANCE="))?;
            Some((instance.to_owned(), pid))
        })
        .collect()
}

fn all_processes(file: &'static str) -> impl Iterator<Item = (u32, Vec<String>)> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(move |entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read(entry.path().join(file)).ok()?;
        let texts = text.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        Some((pid, texts.collect()))
    })
}
