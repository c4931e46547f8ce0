//! A target of one's own: instances are threads of this process. The conformance suite says whether it keeps the contract
//! that deployments rely on; then two releases are deployed with it.
//!
//! `cargo run --example custom_target`, with `--json` for programs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use deployer::{
    engine::Deployment,
    error::{BackendError, ErrorKind},
    journal::MemoryJournal,
    model::{
        Artifact, Epoch, Evidence, Instance, InstanceId, InstancePhase, PinnedRelease, Place, PlaceStatus,
        PlaceView, Release, ReleaseId, SetId, SetSpec, SetView, TargetCapabilities, Timestamp, WorkloadId,
        WorkloadView,
    },
    ports::{CallContext, Changes, Clock as _, Result, SystemClock, Target},
    strategy::{Rolling, RollingSettings},
};
use deployer_testkit::{
    cases::say,
    conformance::{self, ReleaseKind, TargetRig},
    example::Deployments,
};
use parking_lot::Mutex;

/// What a release can name: it works until the other end of the channel is gone. A word through it plays a crash.
type Program = fn(&Receiver<()>) -> Ended;
type Ended = std::result::Result<(), String>;

const PROGRAMS: [(&str, Program); 3] = [
    ("greeter:1", |stop| stop.recv().map_or(Ok(()), |()| Err("greeter 1 crashed".to_owned()))),
    ("greeter:2", |stop| stop.recv().map_or(Ok(()), |()| Err("greeter 2 crashed".to_owned()))),
    ("broken:1", |_| Err("broken 1 found nothing to do".to_owned())),
];

/// How long a thread may take to end. It cannot be killed, so programs have to keep to it.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default)]
struct Threads(Arc<Mutex<BTreeMap<WorkloadId, Workload>>>);

#[derive(Debug, Default)]
struct Workload {
    epoch: Epoch,
    started: u64,
    sets: BTreeMap<SetId, Vec<Thread>>,
}

/// It is told to stop by losing `stop`; without `handle` it has ended.
#[derive(Debug)]
struct Thread {
    seen: Instance,
    stop: Option<Sender<()>>,
    handle: Option<JoinHandle<Ended>>,
}

impl Thread {
    fn stop(&mut self) {
        self.stop = None;
        self.seen.phase = InstancePhase::Stopping { until: now().after(GRACE) };
    }

    /// Notices its end: one that was told to stop is gone, any other has failed.
    fn is_there(&mut self) -> bool {
        if let Some(handle) = self.handle.take_if(|handle| handle.is_finished()) {
            let ended = handle.join().unwrap_or_else(|_| Err("it panicked".to_owned()));
            let reason = ended.err().unwrap_or_else(|| "it ended by itself".to_owned());
            self.seen.phase = InstancePhase::Failed { reason };
        }
        self.handle.is_some() || self.stop.is_some()
    }
}

impl Workload {
    fn look(&mut self) {
        self.sets.values_mut().for_each(|threads| threads.retain_mut(Thread::is_there));
        self.sets.retain(|_, threads| !threads.is_empty());
    }

    /// Gives a set a size, unless somebody else may write by now. Those that failed go first.
    fn size(&mut self, epoch: Epoch, spec: &SetSpec, digest: Option<&str>) -> Result<usize> {
        if epoch < self.epoch {
            return error(ErrorKind::Conflict, "size a set", "somebody has a newer epoch");
        }
        self.epoch = epoch;
        self.look();
        let threads = self.sets.entry(spec.set.clone()).or_default();
        if digest.is_some_and(|digest| threads.iter().any(|thread| *thread.seen.digest != *digest)) {
            return error(ErrorKind::AlreadyExists, "size a set", "it runs something else");
        }
        threads.retain(|thread| thread.handle.is_some());
        let mut live: Vec<_> = threads.iter_mut().rev().filter(|thread| thread.stop.is_some()).collect();
        live.sort_by_key(|thread| !spec.remove_first.contains(&thread.seen.id));
        let (there, wanted) = (live.len(), spec.replicas as usize);
        live.into_iter().take(there.saturating_sub(wanted)).for_each(Thread::stop);
        Ok(wanted.saturating_sub(there))
    }

    fn start(&mut self, set: &SetId, id: &str, digest: Arc<str>, program: Program) -> Result<()> {
        let (stop, stopped) = channel();
        let Ok(handle) = Builder::new().name(id.to_owned()).spawn(move || program(&stopped)) else {
            return error(ErrorKind::Unavailable, "start a thread", "there are too many");
        };
        let phase = InstancePhase::Running { ready: None };
        let (id, started_at) = (id.try_into().expect("a name with a number"), now());
        let seen = Instance { id, place: place(), address: None, phase, started_at, restarts: 0, digest };
        let threads = self.sets.entry(set.clone()).or_default();
        threads.push(Thread { seen, stop: Some(stop), handle: Some(handle) });
        Ok(())
    }
}

#[async_trait]
impl Target for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn capabilities(&self) -> TargetCapabilities {
        let (admits_itself, delegates, grows_adopted, exclusive) = (false, false, false, None);
        let (pins_victims, fences, stop_grace) = (true, true, GRACE);
        TargetCapabilities {
            pins_victims,
            admits_itself,
            delegates,
            grows_adopted,
            exclusive,
            fences,
            stop_grace,
        }
    }

    async fn observe(&self, context: &CallContext) -> Result<WorkloadView> {
        let mut all = self.0.lock();
        let workload = all.entry(context.workload.clone()).or_default();
        workload.look();
        let seen = |threads: &Vec<Thread>| threads.iter().map(|thread| thread.seen.clone()).collect();
        let view = |(set, threads): (&SetId, _)| SetView { set: set.clone(), instances: seen(threads) };
        let places = vec![PlaceView { place: place(), status: PlaceStatus::Known }];
        Ok(WorkloadView { places, sets: workload.sets.iter().map(view).collect() })
    }

    async fn prepare(&self, _: &CallContext, release: &Release) -> Result<Artifact> {
        let name = program(&release.artifact)?.0;
        if !release.config.is_null() || !release.secrets.is_empty() {
            let message = format!("programs take no config and no secrets: leave out {}", release.config);
            return error(ErrorKind::InvalidInput, "prepare a release", &message);
        }
        Ok(Artifact { digest: format!("program:{name}").into(), detail: serde_json::Value::Null })
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        let (program, digest) = (program(&release.release.artifact)?.1, &release.artifact.digest);
        let mut all = self.0.lock();
        let workload = all.entry(context.workload.clone()).or_default();
        for _ in 0..workload.size(context.epoch, spec, Some(digest))? {
            workload.started += 1;
            let id = format!("{}-{}", context.workload, workload.started);
            workload.start(&spec.set, &id, digest.clone(), program)?;
        }
        Ok(())
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        let nothing = SetSpec { set: set.clone(), replicas: 0, remove_first: Vec::new() };
        let mut all = self.0.lock();
        let workload = all.entry(context.workload.clone()).or_default();
        workload.size(context.epoch, &nothing, None).map(drop)
    }

    async fn watch(&self, _: &CallContext) -> Result<Changes> {
        error(ErrorKind::Unsupported, "watch threads", "look at intervals")
    }

    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        let sets = self.observe(context).await?.sets;
        match sets.into_iter().flat_map(|set| set.instances).find(|seen| seen.id == *instance) {
            None => error(ErrorKind::NotFound, "tell of a thread", "nothing is known of it"),
            Some(Instance { phase: InstancePhase::Failed { reason }, .. }) => {
                Ok(Evidence { exit: Some(reason), ..Evidence::default() })
            }
            Some(_) => Ok(Evidence::default()),
        }
    }
}

fn program(artifact: &str) -> Result<(&'static str, Program)> {
    let found = PROGRAMS.into_iter().find(|(name, _)| *name == artifact);
    found.map_or_else(|| error(ErrorKind::NotFound, "find a program", &format!("there is no {artifact}")), Ok)
}

fn error<T>(kind: ErrorKind, operation: &str, message: &str) -> Result<T> {
    Err(BackendError::new(kind, operation, message))
}

fn place() -> Place {
    Place::new("this-process").expect("a word of the program")
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

/// What the suite needs to know.
#[derive(Debug)]
struct Rig(Threads);

#[async_trait]
impl TargetRig for Rig {
    async fn target(&self, _: &WorkloadId) -> Arc<dyn Target> {
        Arc::new(self.0.clone())
    }

    fn release(&self, id: ReleaseId, kind: ReleaseKind) -> Option<Release> {
        let artifact = match kind {
            ReleaseKind::Good => "greeter:1",
            ReleaseKind::OtherGood => "greeter:2",
            ReleaseKind::Missing => "nobody:1",
            ReleaseKind::ExitsAtOnce => "broken:1",
            _ => return None,
        };
        Some(release(id, artifact))
    }

    fn wrong_config(&self, id: ReleaseId) -> Option<(Release, Vec<String>)> {
        let config = serde_json::json!({ "colour": "red", "size": 3 });
        let words = vec!["colour".to_owned(), "size".to_owned()];
        Some((Release { config, ..release(id, "greeter:1") }, words))
    }

    async fn kill(&self, workload: &WorkloadId, instance: &InstanceId) -> bool {
        let all = self.0.0.lock();
        let threads = all[workload].sets.values().flatten();
        let stop =
            threads.filter(|thread| thread.seen.id == *instance).find_map(|thread| thread.stop.as_ref());
        stop.is_some_and(|stop| stop.send(()).is_ok())
    }
}

fn release(id: ReleaseId, artifact: &str) -> Release {
    Release { id, artifact: artifact.to_owned(), config: serde_json::Value::Null, secrets: Vec::new() }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let threads = Threads::default();
    let report = conformance::target(&Rig(threads.clone())).await;
    say(report.to_string().trim_end());
    report.assert();

    let (web, journal) = (WorkloadId::new("web")?, Arc::new(MemoryJournal::new()));
    let mut deployments = Deployments::new();
    for (version, artifact) in [("v1", "greeter:1"), ("v2", "greeter:2")] {
        let deployment = Deployment::builder(web.clone())
            .release(release(ReleaseId::new(version)?, artifact))
            .replicas(3)
            .strategy(Rolling::new(RollingSettings {
                settle_window: Duration::from_secs(1),
                ..Default::default()
            })?)
            .target(threads.clone())
            .journal(journal.clone())
            .build()?;
        let start = Instant::now();
        let ended = deployment.run().await;
        deployments.add("rolling", version, start.elapsed(), &ended);
        for set in &ended?.rollouts[0].live {
            say(&format!("{}: {} running", set.set, set.running));
        }
    }
    deployments.finish();
    Ok(())
}
