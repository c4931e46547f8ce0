//! One seed, from an empty world to the end of its last deployment.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deployer_core::{
    engine::{Deployment, Report},
    error::DeployError,
    lock::MemoryLock,
    model::{Timestamp, WorkloadId},
    ports::Clock as _,
};
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::{
    broken::Broken,
    chaos::Chaos,
    clock::VirtualClock,
    draw::Draw,
    gate::MoodyGate,
    journal::{Books, WitnessJournal},
    lock::WitnessLock,
    oracle,
    person::{Desk, Person},
    planted::Planted,
    record::{Record, Shared},
    scenario::{Scenario, Step, release_id, secrets},
    witness::Witness,
    witness_health::WitnessHealth,
    witness_router::WitnessRouter,
    witness_target::WitnessTarget,
};
use crate::world::{Call, CallOutcome, World};

/// What one seed came to.
#[derive(Debug, Clone, Default)]
pub struct SeedReport {
    /// Which.
    pub seed: u64,
    /// A hash of everything that happened: equal for equal traces.
    pub hash: u64,
    /// Deployments that came to an end or were given up.
    pub deployments: u64,
    /// How often which end came.
    pub ends: BTreeMap<&'static str, u64>,
    /// What was injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Processes that were started.
    pub processes: u64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// The first promise that was broken.
    pub broken: Option<Broken>,
    /// What happened, line by line, where that was asked for.
    pub trace: Vec<String>,
}

/// Plays one seed. The same seed always gives the same report, trace and hash included.
///
/// ```
/// let once = deployer_testkit::simulate::play(7, false);
/// let again = deployer_testkit::simulate::play(7, true);
/// assert_eq!(once.hash, again.hash);
/// assert!(once.broken.is_none(), "{:?}", once.broken);
/// assert!(once.trace.is_empty() && !again.trace.is_empty());
/// ```
pub fn play(seed: u64, keeps_trace: bool) -> SeedReport {
    play_with(seed, keeps_trace, None)
}

/// Plays one seed with a bug on purpose.
pub(super) fn play_with(seed: u64, keeps_trace: bool, planted: Option<Planted>) -> SeedReport {
    let clock = VirtualClock::new();
    let record = Record::shared(clock.clone(), keeps_trace);
    let play = Play::new(seed, planted, &clock, &record);
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| clock.run(play.run())));
    let mut report = SeedReport { seed, ..SeedReport::default() };
    let problem = match ended {
        Ok(Ok(Some(played))) => {
            report = played;
            None
        }
        Ok(Ok(None)) => Some(("no hang", "everything waits for something that never comes".to_owned())),
        Ok(Err(error)) => Some(("simulation", format!("no runtime: {error}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Some(("no hang", text.unwrap_or_else(|| "a panic".to_owned())))
        }
    };
    if let Some((oracle, what)) = problem {
        record.lock().broken(oracle, what);
    }
    let mut record = record.lock();
    for (what, count) in &record.injected {
        *report.faults.entry(what).or_default() += count;
    }
    report.processes = record.sights.len() as u64;
    report.virtual_time = clock.passed();
    report.broken = record.broken.take();
    report.hash = record.fingerprint.value();
    let mut lines = record.lines.take().unwrap_or_default();
    lines.sort_by_key(|(at, _)| *at);
    report.trace = lines.into_iter().map(|(at, line)| format!("{at} {line}")).collect();
    report
}

/// How one process ended.
enum End {
    Answered(Box<Answer>),
    Died,
    TimedOut,
}

type Answer = Result<Report, DeployError>;

struct Play {
    seed: u64,
    scenario: Arc<Scenario>,
    world: World,
    workload: WorkloadId,
    clock: VirtualClock,
    record: Shared,
    books: Books,
    lock: MemoryLock,
    desk: Desk,
    draw: Draw,
    quiet_at: Timestamp,
    planted: Option<Planted>,
    /// Processes that are thought to be dead and are not.
    zombies: JoinSet<Answer>,
    zombie_lives: bool,
}

impl Play {
    fn new(seed: u64, planted: Option<Planted>, clock: &VirtualClock, record: &Shared) -> Self {
        let scenario = Scenario::draw(seed);
        let world = World::new(scenario.world.clone(), Arc::new(clock.clone()));
        for (number, behaviour) in (0..).zip(&scenario.behaviours) {
            world.behave(release_id(number), *behaviour);
        }
        scenario.rates.begin(&world);
        record.lock().line(|| format!("{scenario:?}"));
        Self {
            seed,
            quiet_at: clock.now().after(scenario.quiet_after),
            scenario: Arc::new(scenario),
            world,
            workload: WorkloadId::new("web").expect("a short word is a name"),
            clock: clock.clone(),
            record: Arc::clone(record),
            books: Books::default(),
            lock: MemoryLock::new(),
            desk: Desk::default(),
            draw: Draw::new(!seed),
            planted,
            zombies: JoinSet::new(),
            zombie_lives: false,
        }
    }

    async fn run(mut self) -> SeedReport {
        let mut report = SeedReport { seed: self.seed, ..SeedReport::default() };
        let mut around = JoinSet::new();
        around.spawn(self.chaos().run());
        around.spawn(self.person().run());
        let scenario = Arc::clone(&self.scenario);
        for (index, step) in scenario.steps.iter().enumerate() {
            let end = self.deploy(index, step).await;
            report.deployments += 1;
            *report.ends.entry(end).or_default() += 1;
            self.record.lock().fingerprint.bytes(end.as_bytes());
            if self.record.lock().broken.is_some() {
                break;
            }
        }
        self.bury().await;
        around.shutdown().await;
        for place in &self.scenario.world.places {
            self.world.heal(place);
        }
        oracle::truth(&mut self.record.lock(), &self.scenario, &self.world);
        oracle::audit(&self.record, &self.books).await;
        self.tell_calls();
        report.faults.extend(self.world.faults_happened());
        report
    }

    fn chaos(&mut self) -> Chaos {
        Chaos {
            world: self.world.clone(),
            workload: self.workload.clone(),
            clock: self.clock.clone(),
            record: Arc::clone(&self.record),
            scenario: Arc::clone(&self.scenario),
            draw: self.draw.apart(),
            quiet_at: self.quiet_at,
        }
    }

    fn person(&mut self) -> Person {
        Person {
            desk: Arc::clone(&self.desk),
            clock: self.clock.clone(),
            record: Arc::clone(&self.record),
            scenario: Arc::clone(&self.scenario),
            draw: self.draw.apart(),
            quiet_at: self.quiet_at,
        }
    }

    /// Deploys one release until it has come to an end or is given up, through as many processes as that takes.
    async fn deploy(&mut self, index: usize, step: &Step) -> &'static str {
        let limit = self.quiet_at.max(self.clock.now()).after(self.scenario.bound(step));
        let gate = Arc::new(MoodyGate { clock: self.clock.clone(), draw: Mutex::new(self.draw.apart()) });
        loop {
            let witness = self.witness(index);
            let end = match self.build(step, &witness, &gate) {
                Ok(deployment) => self.one_process(deployment, &witness, limit).await,
                Err(error) => End::Answered(Box::new(Err(error))),
            };
            let may_give_up =
                self.clock.now() < self.quiet_at && self.draw.chance(self.scenario.rates.abandoned);
            if self.record.lock().broken.is_some() {
                return "broken";
            }
            match end {
                End::TimedOut => {
                    let what = format!("no end until {limit}, though nothing goes wrong any more");
                    self.record.lock().broken("liveness", what);
                    return "broken";
                }
                End::Answered(result) => {
                    let mut record = self.record.lock();
                    oracle::ended(&mut record, &witness, &result);
                    let name = name(&result);
                    let again =
                        matches!(*result, Err(DeployError::Interrupted { .. } | DeployError::Locked { .. }))
                            || (name == "refused" && self.clock.now() < self.quiet_at && !may_give_up);
                    if !again {
                        oracle::settled(&mut record, &witness);
                        return name;
                    }
                }
                End::Died => {}
            }
            if may_give_up {
                return "given up";
            }
            if self.clock.now() > limit {
                self.record.lock().broken("liveness", format!("no end until {limit}, but many processes"));
                return "broken";
            }
            let pause = Duration::from_millis(10 + self.draw.below(3000));
            self.clock.sleep(pause).await;
        }
    }

    fn witness(&mut self, step: usize) -> Arc<Witness> {
        let process = self.record.lock().process();
        Arc::new(Witness {
            record: Arc::clone(&self.record),
            world: self.world.clone(),
            clock: self.clock.clone(),
            scenario: Arc::clone(&self.scenario),
            workload: self.workload.clone(),
            process,
            step,
            quiet_at: self.quiet_at,
            lots: Mutex::new(self.draw.apart()),
            died: tokio::sync::Notify::new(),
            undead: AtomicBool::new(false),
            takes_over: self.zombie_lives,
        })
    }

    fn build(
        &mut self,
        step: &Step,
        witness: &Arc<Witness>,
        gate: &Arc<MoodyGate>,
    ) -> Result<Deployment, DeployError> {
        let mut release = World::release(step.release()).release;
        release.secrets = secrets();
        let target = WitnessTarget { witness: Arc::clone(witness), inner: self.world.target() };
        let router = WitnessRouter { witness: Arc::clone(witness), inner: self.world.router() };
        let health = WitnessHealth { witness: Arc::clone(witness), inner: self.world.health() };
        let journal = WitnessJournal { witness: Arc::clone(witness), books: self.books.clone() };
        let lock = WitnessLock { witness: Arc::clone(witness), inner: self.lock.clone() };
        let planted = self.planted;
        let mut builder = Deployment::builder(self.workload.clone())
            .release(release)
            .replicas(step.replicas)
            .strategy(Planted::strategy(planted, step))
            .target(Planted::target(planted, target))
            .check(Planted::health(planted, health))
            .probing(self.scenario.probing.clone())
            .settings(step.settings.clone())
            .engine(self.scenario.engine.clone())
            .journal(Planted::journal(planted, journal))
            .lock(Planted::lock(planted, lock))
            .clock(self.clock.clone());
        if self.scenario.world.routed {
            builder = builder.router(Planted::router(planted, router));
        }
        if let Some(point) = step.gate {
            let gate: Arc<dyn deployer_core::ports::Gate> = Arc::clone(gate) as _;
            builder = builder.gate(point, "moody", gate);
        }
        if std::mem::take(&mut self.zombie_lives) {
            builder = builder.take_over();
        }
        builder.build()
    }

    async fn one_process(&mut self, deployment: Deployment, witness: &Arc<Witness>, limit: Timestamp) -> End {
        *self.desk.lock() = Some(deployment.control());
        let mut tasks = JoinSet::new();
        let handle = tasks.spawn(async move { deployment.run().await });
        let now = self.clock.now();
        let kill_in = self.scenario.rates.kills.filter(|_| now < self.quiet_at).map(|mean| {
            let most = u64::try_from(mean.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
            Duration::from_millis(self.draw.below(most))
        });
        let end = tokio::select! {
            biased;
            answer = tasks.join_next() => match answer {
                Some(Ok(answer)) => End::Answered(Box::new(answer)),
                Some(Err(error)) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic());
                }
                _ => End::Died,
            },
            () = witness.died.notified() => End::Died,
            () = self.clock.sleep(kill_in.unwrap_or_default()), if kill_in.is_some() => {
                self.kill_or_forget(witness, &handle, &mut tasks)
            }
            () = self.clock.sleep(limit.since(now)) => End::TimedOut,
        };
        *self.desk.lock() = None;
        if matches!(end, End::Died) && !self.zombie_lives {
            let process = witness.process;
            self.record.lock().inject("kill", || format!("process {process} is killed"));
        }
        tasks.shutdown().await;
        end
    }

    /// A process is killed, or only thought to be dead: then it goes on, and another takes over.
    fn kill_or_forget(
        &mut self,
        witness: &Witness,
        handle: &AbortHandle,
        tasks: &mut JoinSet<Answer>,
    ) -> End {
        if !self.draw.chance(self.scenario.rates.zombies) {
            handle.abort();
            return End::Died;
        }
        witness.undead.store(true, Ordering::Relaxed);
        self.lock.declare_dead(&self.workload);
        self.record.lock().inject("zombie", || "a process is thought to be dead and goes on".to_owned());
        self.zombie_lives = true;
        std::mem::swap(&mut self.zombies, tasks);
        // Zombies of before have ended, or are ended now: one at a time is enough.
        tasks.abort_all();
        End::Died
    }

    /// Whoever was thought to be dead has to find out that it may not go on.
    async fn bury(&mut self) {
        if self.zombie_lives {
            // Nobody took over, so it may go on.
            self.zombies.abort_all();
        }
        let deadline = self.scenario.engine.renew_lock * 8 + self.scenario.engine.call_deadline * 20;
        let ended = async {
            let mut all = Vec::new();
            while let Some(answer) = self.zombies.join_next().await {
                all.extend(answer.ok());
            }
            all
        };
        let answers = tokio::select! {
            biased;
            answers = ended => Some(answers),
            () = self.clock.sleep(deadline) => None,
        };
        if answers.is_none() && self.record.lock().broken.is_none() {
            self.record.lock().broken("single writer", "a process that lost its lock goes on and on");
        }
    }

    /// Calls to the world, into the fingerprint and the lines.
    fn tell_calls(&self) {
        let mut record = self.record.lock();
        self.world.each_call(|call| {
            record.fingerprint.word(call.at.as_millis() ^ call.number << 48 ^ (call.kind as u64) << 40);
            record.fingerprint.word(call.context.epoch.0);
            record.fingerprint.bytes(call.what.as_bytes());
            record.fingerprint.word(match call.outcome {
                CallOutcome::Unfinished { done } => u64::from(done),
                CallOutcome::Answered => 2,
                CallOutcome::Failed { error, done } => 4 + u64::from(done) + 2 * (error as u64),
            });
        });
        if let Some(lines) = &mut record.lines {
            let told = |call: &Call| {
                let Call { kind, context, what, outcome, .. } = call;
                (call.at, format!("  {kind:?} (epoch {}): {what}: {outcome:?}", context.epoch))
            };
            lines.extend(self.world.calls().iter().map(told));
            let incidents = self.world.incidents();
            lines.extend(incidents.iter().map(|incident| (incident.at, format!("  ! {incident}"))));
            let effect = |effect: &crate::world::Effect| {
                let (before, after) = (effect.before, effect.after);
                let what = format!(
                    "  = {:?}: available {} -> {}, total {} -> {}",
                    effect.kind, before.available, after.available, before.total, after.total
                );
                (effect.at, what)
            };
            lines.extend(self.world.effects().iter().map(effect));
        }
    }
}

fn name(result: &Answer) -> &'static str {
    match result {
        Ok(_) => "succeeded",
        Err(DeployError::Refused(_)) => "refused",
        Err(DeployError::Locked { .. }) => "locked",
        Err(DeployError::RolledBack { .. }) => "rolled back",
        Err(DeployError::Stuck { .. }) => "stuck",
        Err(DeployError::Aborted { superseded_by: None, .. }) => "aborted",
        Err(DeployError::Aborted { .. }) => "superseded",
        Err(DeployError::Interrupted { .. }) => "interrupted",
        Err(_) => "other",
    }
}
