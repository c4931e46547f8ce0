//! Probing instances, one probe at a time each.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified},
    task::{AbortHandle, JoinSet},
};

use super::{
    ProbeSettings,
    call::{Limited, limited},
    memory::{Memory, Remembered},
};
use crate::{
    model::{Instance, InstanceId, InstancePhase, Timestamp},
    ports::{CallContext, Clock, HealthCheck},
    strategy::{Probe, ProbeHistory},
};

/// The probes of all running instances. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Probes {
    prober: Option<Prober>,
    tasks: JoinSet<()>,
    tracked: BTreeMap<InstanceId, Tracked>,
    changed: Arc<Notify>,
}

#[derive(Debug, Clone)]
struct Prober {
    check: Arc<dyn HealthCheck>,
    settings: ProbeSettings,
    clock: Arc<dyn Clock>,
    context: CallContext,
}

#[derive(Debug)]
struct Tracked {
    run: (Timestamp, u32, Option<SocketAddr>),
    trusted: bool,
    task: AbortHandle,
    history: History,
}

type History = Arc<Mutex<ProbeHistory>>;

impl Probes {
    pub(super) fn new(
        check: Option<Arc<dyn HealthCheck>>,
        settings: &ProbeSettings,
        clock: &Arc<dyn Clock>,
        context: &CallContext,
    ) -> Self {
        let context = CallContext { deadline: settings.timeout, ..context.clone() };
        let prober = check.map(|check| Prober {
            check,
            settings: settings.clone(),
            clock: Arc::clone(clock),
            context,
        });
        Self { prober, tasks: JoinSet::new(), tracked: BTreeMap::new(), changed: Arc::default() }
    }

    /// Probes exactly the instances that run now. A restarted one starts at zero.
    pub(super) fn follow(&mut self, memory: &Memory) {
        let Some(prober) = &self.prober else { return };
        while self.tasks.try_join_next().is_some() {}
        self.tracked.retain(|id, tracked| {
            let stays = memory.instances.get(id).is_some_and(|remembered| {
                remembered.unknown || (runs(remembered) && run(remembered) == tracked.run)
            });
            if !stays {
                tracked.task.abort();
            }
            stays
        });
        for (id, remembered) in memory.instances.iter().filter(|(_, remembered)| runs(remembered)) {
            if let Some(tracked) = self.tracked.get_mut(id) {
                tracked.trust(remembered.trusted, prober);
                continue;
            }
            let history = History::default();
            let probing = prober.clone().probe(
                remembered.instance.clone(),
                Arc::clone(&history),
                Arc::clone(&self.changed),
            );
            let task = self.tasks.spawn(probing);
            let mut tracked = Tracked { run: run(remembered), trusted: false, task, history };
            tracked.trust(remembered.trusted, prober);
            self.tracked.insert(id.clone(), tracked);
        }
    }

    /// What probes said so far.
    pub(super) fn histories(&self) -> BTreeMap<InstanceId, ProbeHistory> {
        self.tracked.iter().map(|(id, tracked)| (id.clone(), lock(&tracked.history).clone())).collect()
    }

    /// Ready when the readiness or the trouble of an instance changed since the last time.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}

impl Tracked {
    fn trust(&mut self, trusted: bool, prober: &Prober) {
        if trusted && !self.trusted {
            self.trusted = true;
            let mut history = lock(&self.history);
            if history.ready_since().is_none() && history.falls() == 0 {
                *history = ProbeHistory::trusted(prober.settings.health);
            }
        }
    }
}

impl Prober {
    async fn probe(self, instance: Instance, history: History, changed: Arc<Notify>) {
        let mut was_ready = false;
        loop {
            let probe = self.once(&instance).await;
            let now = self.clock.now();
            let (differs, ready) = {
                let mut history = lock(&history);
                let before = (history.ready_since().is_some(), history.has_fallen());
                let trouble = history.last_failure().to_owned();
                history.record(self.settings.health, &probe, now);
                let after = (history.ready_since().is_some(), history.has_fallen());
                (before != after || trouble != history.last_failure(), after.0)
            };
            was_ready |= ready;
            if differs {
                changed.notify_one();
            }
            let answers = was_ready || probe == Probe::Ok;
            let pause = if answers { self.settings.interval } else { self.settings.start_interval };
            self.clock.sleep(pause.max(Duration::from_millis(1))).await;
        }
    }

    async fn once(&self, instance: &Instance) -> Probe {
        let limit = self.settings.timeout;
        match limited(&*self.clock, limit, self.check.probe(&self.context, instance)).await {
            Limited::Done(probe) => probe,
            Limited::TimedOut => Probe::Failed { why: format!("no answer within {limit:?}") },
            Limited::Panicked => Probe::Unknown { why: "the health check panicked".to_owned() },
        }
    }
}

fn runs(remembered: &Remembered) -> bool {
    matches!(remembered.instance.phase, InstancePhase::Running { .. })
}

fn run(remembered: &Remembered) -> (Timestamp, u32, Option<SocketAddr>) {
    let (started_at, restarts) = remembered.run();
    (started_at, restarts, remembered.instance.address)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::{
        model::{DeploymentId, Epoch, PlaceStatus, PlaceView, SetId, SetView, WorkloadId, WorkloadView},
        ports::SystemClock,
    };

    #[derive(Debug, Default)]
    struct Check {
        fails: AtomicBool,
        hangs: AtomicBool,
        probes: AtomicU32,
        at_once: AtomicU32,
    }

    #[async_trait]
    impl HealthCheck for Check {
        fn describe(&self) -> String {
            "test".into()
        }

        async fn probe(&self, _context: &CallContext, _instance: &Instance) -> Probe {
            self.probes.fetch_add(1, Ordering::SeqCst);
            let others = self.at_once.fetch_add(1, Ordering::SeqCst);
            assert_eq!(others, 0, "one probe of an instance at a time");
            if self.hangs.load(Ordering::SeqCst) {
                self.at_once.store(0, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.at_once.store(0, Ordering::SeqCst);
            if self.fails.load(Ordering::SeqCst) { Probe::Failed { why: "500".into() } } else { Probe::Ok }
        }
    }

    fn memory(memory: &mut Memory, restarts: u32, phase: InstancePhase) {
        let instance = Instance {
            id: id(),
            place: "here".try_into().unwrap(),
            address: None,
            phase,
            started_at: Timestamp::from_millis(1),
            restarts,
            digest: "sha".into(),
        };
        let places = vec![PlaceView { place: "here".try_into().unwrap(), status: PlaceStatus::Known }];
        let sets = vec![SetView { set: SetId::new("v1").unwrap(), instances: vec![instance] }];
        memory.take_in(&WorkloadView { places, sets }, Timestamp::from_millis(5));
    }

    fn id() -> InstanceId {
        InstanceId::new("a").unwrap()
    }

    fn probes(check: &Arc<Check>) -> Probes {
        let context = CallContext {
            workload: WorkloadId::new("web").unwrap(),
            deployment: DeploymentId::new("d1").unwrap(),
            epoch: Epoch(1),
            deadline: Duration::from_secs(1),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let check: Arc<dyn HealthCheck> = check.clone();
        Probes::new(Some(check), &ProbeSettings::default(), &clock, &context)
    }

    const RUNNING: InstancePhase = InstancePhase::Running { ready: None };

    #[tokio::test(start_paused = true)]
    async fn a_fresh_instance_is_ready_soon_and_only_changes_wake() {
        let (check, mut world) = (Arc::new(Check::default()), Memory::default());
        let mut probes = probes(&check);
        memory(&mut world, 0, RUNNING);
        let began = tokio::time::Instant::now();
        probes.follow(&world);
        probes.changed().await;
        assert_eq!(began.elapsed(), Duration::from_millis(1040), "two probes of 20 ms, an interval apart");
        assert!(probes.histories()[&id()].ready_since().is_some());
        let more = tokio::time::timeout(Duration::from_secs(60), probes.changed()).await;
        assert!(more.is_err(), "nothing changed");
        assert!(check.probes.load(Ordering::SeqCst) < 65, "one a second once it is ready");
        check.fails.store(true, Ordering::SeqCst);
        probes.changed().await;
        assert_eq!(probes.histories()[&id()].last_failure(), "500");
        probes.changed().await;
        assert!(probes.histories()[&id()].has_fallen());
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_does_not_answer_yet_is_asked_at_short_intervals() {
        let (check, mut world) = (Arc::new(Check::default()), Memory::default());
        check.fails.store(true, Ordering::SeqCst);
        let mut probes = probes(&check);
        memory(&mut world, 0, RUNNING);
        probes.follow(&world);
        tokio::time::sleep(Duration::from_millis(1190)).await;
        assert_eq!(check.probes.load(Ordering::SeqCst), 10, "one each 120 ms");
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_instance_starts_at_zero_and_one_that_stops_is_left_alone() {
        let (check, mut world) = (Arc::new(Check::default()), Memory::default());
        let mut probes = probes(&check);
        memory(&mut world, 0, RUNNING);
        probes.follow(&world);
        probes.changed().await;
        memory(&mut world, 1, RUNNING);
        probes.follow(&world);
        assert_eq!(probes.histories()[&id()], ProbeHistory::default());
        probes.changed().await;
        memory(&mut world, 1, InstancePhase::Stopping { until: Timestamp::default() });
        probes.follow(&world);
        assert!(probes.histories().is_empty());
        let before = check.probes.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(check.probes.load(Ordering::SeqCst), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_has_failed() {
        let (check, mut world) = (Arc::new(Check::default()), Memory::default());
        check.hangs.store(true, Ordering::SeqCst);
        let mut probes = probes(&check);
        memory(&mut world, 0, RUNNING);
        probes.follow(&world);
        probes.changed().await;
        assert_eq!(probes.histories()[&id()].last_failure(), "no answer within 1s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trusted_instance_is_ready_with_its_first_success() {
        let (check, mut world) = (Arc::new(Check::default()), Memory::default());
        let mut probes = probes(&check);
        memory(&mut world, 0, RUNNING);
        world.instances.get_mut(&id()).unwrap().trusted = true;
        let began = tokio::time::Instant::now();
        probes.follow(&world);
        probes.changed().await;
        assert!(probes.histories()[&id()].ready_since().is_some());
        assert_eq!(began.elapsed(), Duration::from_millis(20));
    }
}
