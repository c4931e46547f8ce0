//! The deployer that is killed: this program, started again.

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use deployer::{
    engine::{Deployment, DeploymentBuilder, EngineSettings},
    error::{DeployError, report},
    event,
    model::AttachPoint,
    pipeline::Pipeline,
    ports::{Journal, Lock, Target, TrafficRouter},
};
use deployer_testkit::{
    crash::{CrashAt, CrashPoint, Moment, Trail},
    inject::{Injector, Wrapped},
};
use futures::StreamExt as _;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use crate::{
    disturb::{Interrupting, No},
    processes::marked,
    recipes::{Kind, app},
    stand::{Stand, WEB, any_port, process},
    works::Works,
};

/// How long a deployer may take from its start to its end: each of its drains may take 10 s.
const LIMIT: Duration = Duration::from_secs(60);
/// First argument of such a process: what it is to do follows, as JSON.
const DEPLOYER: &str = "__crash_deployer";

/// Which way a deployment of real processes goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Way {
    /// The release is good.
    Forward,
    /// The release is good, and its deployer is told to stop in the middle.
    Interrupted,
    /// A gate refuses it when it has all the traffic.
    Refused,
    /// It is a pipeline of two workloads, the last stage of which fails.
    Undone,
}

impl Way {
    /// Whether the old release is live in the end.
    pub(crate) fn goes_back(self) -> bool {
        matches!(self, Self::Refused | Self::Undone)
    }

    /// What is deployed, in this order.
    pub(crate) fn workloads(self) -> &'static [&'static str] {
        if self == Self::Undone { &["api", WEB] } else { &[WEB] }
    }
}

/// What a deployer is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) directory: PathBuf,
    pub(crate) release: String,
    /// Name of the strategy.
    pub(crate) kind: String,
    pub(crate) way: Way,
    /// Where it kills itself; it says in `answer` that it came so far.
    pub(crate) point: Option<String>,
    /// The file that it answers in.
    pub(crate) answer: PathBuf,
    /// The file that it tells its events in, of all its starts.
    pub(crate) story: PathBuf,
    /// Where the stages of a pipeline do their work.
    pub(crate) works: PathBuf,
}

/// What a deployer says that came to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Calls that write, in order.
    pub(crate) calls: Vec<String>,
    /// How it ended, if not well.
    pub(crate) error: Option<String>,
    /// What was wrong when the same was started once more after its end.
    pub(crate) again: Option<String>,
}

/// Is a deployer if it was started as one.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [first, task] = arguments.as_slice() else { return None };
    if first != DEPLOYER {
        return None;
    }
    let task: Task = serde_json::from_str(task).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(deploy(&task));
    Some(ExitCode::SUCCESS)
}

async fn deploy(task: &Task) {
    let stand = Stand::open(&task.directory).await;
    let done = Arc::new(AtomicBool::new(false));
    if let Some(point) = &task.point {
        let (place, journal) = (task.answer.clone(), journal_of(&stand, task));
        let at = CrashAt::doing(point.parse().unwrap(), move |point| die(point, &place, &journal));
        // Only the answer file tells whether it got there.
        let _ = whole(&stand, task, &done, Arc::new(at)).await;
        return;
    }
    let trail = Arc::new(Trail::new());
    let result = whole(&stand, task, &done, trail.clone()).await;
    let calls = trail.calls();
    let repeated = whole(&stand, task, &done, trail.clone()).await;
    let is_still = trail.calls() == calls && matches!(repeated, Err(DeployError::Refused(_)));
    let answer = Answer {
        calls,
        error: result.err().map(|error| report(&error)),
        again: (!is_still).then(|| format!("{:?}: {repeated:?}", trail.calls())),
    };
    fs::write(&task.answer, serde_json::to_string(&answer).unwrap()).unwrap();
}

/// To its end, however often it is told to stop.
async fn whole(
    stand: &Stand,
    task: &Task,
    done: &Arc<AtomicBool>,
    injector: Arc<dyn Injector>,
) -> Result<(), DeployError> {
    let mut result = told(&build(stand, task, done, &injector), task).await;
    if matches!(result, Err(DeployError::Interrupted { .. })) {
        result = told(&build(stand, task, done, &injector), task).await;
    }
    result
}

/// Runs a deployment and writes down what happens, progress too, for whoever has to find out why it went wrong.
async fn told(deployment: &Deployment, task: &Task) -> Result<(), DeployError> {
    let mut events = deployment.events();
    let mut story = fs::OpenOptions::new().create(true).append(true).open(&task.story).unwrap();
    writeln!(story, "-- process {}", std::process::id()).unwrap();
    let listens = async {
        while let Some(event) = events.next().await {
            writeln!(story, "{}", event::line(&event)).unwrap();
        }
    };
    tokio::join!(deployment.run(), listens).0.map(drop)
}

fn build(stand: &Stand, task: &Task, done: &Arc<AtomicBool>, injector: &Arc<dyn Injector>) -> Deployment {
    let kind = Kind::ALL.into_iter().find(|known| known.name() == task.kind).unwrap();
    let interrupting = Arc::new(Interrupting::new(injector.clone(), done.clone()));
    let injector = if task.way == Way::Interrupted { interrupting.clone() } else { injector.clone() };
    if task.way == Way::Undone {
        return pipeline(stand, task, kind, &injector);
    }
    let ledger = Ledger::new(stand, &injector);
    let builder = rollout_of(stand, task, WEB, kind, &injector)
        .engine(EngineSettings::default())
        .id(id(&task.release).as_str())
        .journal(ledger.journal)
        .lock(ledger.lock);
    let is_refused = task.way == Way::Refused;
    let builder =
        if is_refused { builder.gate(AttachPoint::FullTraffic, "no", Arc::new(No)) } else { builder };
    let deployment = builder.build().unwrap();
    interrupting.tells(deployment.control());
    deployment
}

/// A pipeline with a backup, a migration, both workloads, and an end that fails.
fn pipeline(stand: &Stand, task: &Task, kind: Kind, injector: &Arc<dyn Injector>) -> Deployment {
    let (directory, release) = (stand.host.directory().to_owned(), task.release.clone());
    let works = Works::new(injector.clone(), &task.works, move || releases(&directory, &release));
    let ledger = Ledger::new(stand, injector);
    let pipeline = Pipeline::builder("shop")
        .id(id(&task.release).as_str())
        .journal(ledger.journal)
        .lock(ledger.lock)
        .stage(works.backup())
        .stage(works.migrate());
    let kinds = [kind, Kind::BlueGreen];
    let rollouts = task.way.workloads().iter().zip(kinds);
    let pipeline = rollouts.fold(pipeline, |pipeline, (workload, kind)| {
        pipeline.rollout(*workload, rollout_of(stand, task, workload, kind, injector))
    });
    pipeline.stage(works.mail()).stage(works.last(true)).build().unwrap()
}

/// Which releases of each workload have processes: the new one by that name, however it is called.
fn releases(directory: &Path, new: &str) -> String {
    let all = marked(directory).into_iter();
    let names = all.map(|marked| {
        let set = if marked.set == new { "new".to_owned() } else { marked.set };
        format!("{} {set}", marked.workload)
    });
    names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// Journal and lock with an injector around them.
struct Ledger {
    journal: Arc<dyn Journal>,
    lock: Arc<dyn Lock>,
}

impl Ledger {
    fn new(stand: &Stand, injector: &Arc<dyn Injector>) -> Self {
        Self {
            journal: Arc::new(Wrapped::<dyn Journal>::new(stand.journal.clone(), injector.clone())),
            lock: Arc::new(Wrapped::<dyn Lock>::new(stand.lock.clone(), injector.clone())),
        }
    }
}

fn rollout_of(
    stand: &Stand,
    task: &Task,
    workload: &str,
    kind: Kind,
    injector: &Arc<dyn Injector>,
) -> DeploymentBuilder {
    let app = app(&task.release);
    let target = Wrapped::<dyn Target>::new(stand.host.target_for(&process(&app)), injector.clone());
    let name = deployer::model::WorkloadId::new(workload).unwrap();
    let router = Wrapped::<dyn TrafficRouter>::new(stand.host.router(name, any_port()), injector.clone());
    stand
        .bare(workload, &app.release, process(&app), kind)
        .target(Arc::new(target) as Arc<dyn Target>)
        .router(Arc::new(router) as Arc<dyn TrafficRouter>)
}

/// The name of the deployment of a release.
pub(crate) fn id(release: &str) -> String {
    format!("to-{release}")
}

fn journal_of(stand: &Stand, task: &Task) -> PathBuf {
    stand.journal.directory().join(WEB).join(format!("{}.jsonl", id(&task.release)))
}

/// Says where it is and dies, as from `kill -9`: nothing is flushed, closed or given back by it.
fn die(point: &CrashPoint, answer: &Path, journal: &Path) {
    if point.moment == Moment::Inside && !point.is_effect() {
        tear(journal);
    }
    fs::write(answer, point.to_string()).unwrap();
    kill_process(getpid(), Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}

/// Leaves half of the last line, as a process that dies while it writes.
fn tear(journal: &Path) {
    let bytes = fs::read(journal).unwrap();
    let before = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let half = u64::try_from(usize::midpoint(before, bytes.len())).unwrap();
    fs::OpenOptions::new().write(true).open(journal).unwrap().set_len(half).unwrap();
}

/// Starts a deployer and waits until it is gone. What it says lies in the answer file.
///
/// # Errors
/// It has no end in time.
pub(crate) fn start(task: &Task) -> Result<ExitStatus, String> {
    let _ = fs::remove_file(&task.answer);
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg(DEPLOYER).arg(serde_json::to_string(task).unwrap()).stdin(Stdio::null());
    let mut child = Killed(command.spawn().unwrap());
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            return Ok(status);
        }
        if Instant::now() > deadline {
            return Err(format!("the deployer has no end within {LIMIT:?}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Killed when dropped.
#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
