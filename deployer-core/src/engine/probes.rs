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
    assemble::{Memory, Remembered},
    call::{Limited, limited},
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
            let pause = if was_ready { self.settings.interval } else { self.settings.start_interval };
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
