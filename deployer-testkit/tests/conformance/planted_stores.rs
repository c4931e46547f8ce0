//! Journals, locks, checks, gates, clocks, secrets and notifiers with one fault each.

use std::{
    mem::ManuallyDrop,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use deployer_core::{
    checks::check_fn,
    error::{BackendError, ErrorKind, LockHolder},
    event::{Event, EventKind},
    gates::gate_fn,
    journal::MemoryJournal,
    lock::MemoryLock,
    model::{DeploymentId, Epoch, Instance, SecretRef, Timestamp, WorkloadId},
    ports::{
        Clock, Gate, GateAnswer, GateWindow, HealthCheck, Journal, JournalError, Lock, LockError, LockGrant,
        Notifier, Secret, SecretSource,
    },
    strategy::{Probe, Verdict},
};
use deployer_testkit::{
    TestClock,
    conformance::{
        self, GateCase, GateRig, HealthCase, HealthRig, JournalRig, LockRig, NotifierRig, SecretRig,
    },
};
use serde_json::json;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    LosesTheLast,
    ForgetsAtReopen,
    CutsLongText,
    NewestFirst,
    FirstWorkloadOnly,
    LastEpochOnly,
    SwallowsFence,
    TwoWinners,
    KeepsAfterDrop,
    TakesSome,
    SameEpoch,
    NeverLost,
    KeepsWhenDropped,
    NobodyHolds,
}

#[derive(Debug, Clone)]
struct Broken {
    fault: Fault,
    journal: MemoryJournal,
    lock: MemoryLock,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        Self { fault, journal: MemoryJournal::new(), lock: MemoryLock::new() }
    }
}

#[async_trait]
impl JournalRig for Broken {
    async fn open(&self) -> Arc<dyn Journal> {
        let fresh = self.fault == Fault::ForgetsAtReopen;
        Arc::new(if fresh { Self::new(self.fault) } else { self.clone() })
    }
}

#[async_trait]
impl LockRig for Broken {
    async fn open(&self) -> Arc<dyn Lock> {
        let fresh = self.fault == Fault::TwoWinners;
        Arc::new(if fresh { Self::new(self.fault) } else { self.clone() })
    }
}

#[async_trait]
impl Journal for Broken {
    async fn create(&self, workloads: &[WorkloadId], first: &Event) -> Result<(), JournalError> {
        let listed = if self.fault == Fault::FirstWorkloadOnly { &workloads[..1] } else { workloads };
        self.journal.create(listed, first).await
    }

    async fn append(&self, event: &Event) -> Result<(), JournalError> {
        let mut event = event.clone();
        if let (Fault::CutsLongText, EventKind::StageFailed { message }) = (self.fault, &mut event.kind) {
            message.truncate(64 * 1024);
        }
        match self.journal.append(&event).await {
            Err(JournalError::Fenced { .. }) if self.fault == Fault::SwallowsFence => Ok(()),
            answer => answer,
        }
    }

    async fn load(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError> {
        let mut events = self.journal.load(deployment).await?;
        if self.fault == Fault::LosesTheLast && events.len() > 1 {
            events.pop();
        }
        Ok(events)
    }

    async fn list(&self, workload: &WorkloadId) -> Result<Vec<DeploymentId>, JournalError> {
        let mut all = self.journal.list(workload).await?;
        if self.fault == Fault::NewestFirst {
            all.reverse();
        }
        Ok(all)
    }

    async fn last_epoch(&self, workload: &WorkloadId) -> Result<Epoch, JournalError> {
        if self.fault == Fault::LastEpochOnly {
            let Some(last) = self.journal.list(workload).await?.pop() else { return Ok(Epoch(0)) };
            return Ok(self.journal.load(&last).await?.last().map(|event| event.epoch).unwrap_or_default());
        }
        self.journal.last_epoch(workload).await
    }
}

#[derive(Debug)]
struct Grant {
    epoch: Epoch,
    inner: ManuallyDrop<Box<dyn LockGrant>>,
    keeps: bool,
}

impl LockGrant for Grant {
    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if !self.keeps {
            // A box of nothing takes its place.
            let empty = ManuallyDrop::new(Box::new(Nothing) as Box<dyn LockGrant>);
            drop(ManuallyDrop::into_inner(std::mem::replace(&mut self.inner, empty)));
        }
    }
}

#[derive(Debug)]
struct Nothing;

impl LockGrant for Nothing {
    fn epoch(&self) -> Epoch {
        Epoch(0)
    }
}

#[async_trait]
impl Lock for Broken {
    async fn acquire(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError> {
        let inner = match self.lock.acquire(workloads, deployment).await {
            Err(error) if self.fault == Fault::TakesSome => {
                for workload in workloads {
                    // Nobody gives these back.
                    let _ = self
                        .lock
                        .acquire(std::slice::from_ref(workload), deployment)
                        .await
                        .map(std::mem::forget);
                }
                return Err(error);
            }
            answer => ManuallyDrop::new(answer?),
        };
        let epoch = if self.fault == Fault::SameEpoch { Epoch(1) } else { inner.epoch() };
        if self.fault == Fault::KeepsWhenDropped {
            tokio::task::yield_now().await;
        }
        Ok(Box::new(Grant { epoch, inner, keeps: self.fault == Fault::KeepsAfterDrop }))
    }

    async fn renew(&self, workloads: &[WorkloadId], epoch: Epoch) -> Result<(), LockError> {
        if self.fault == Fault::NeverLost { Ok(()) } else { self.lock.renew(workloads, epoch).await }
    }

    async fn holder(&self, workload: &WorkloadId) -> Result<Option<LockHolder>, LockError> {
        if self.fault == Fault::NobodyHolds { Ok(None) } else { self.lock.holder(workload).await }
    }

    async fn take_over(
        &self,
        workloads: &[WorkloadId],
        deployment: &DeploymentId,
    ) -> Result<Box<dyn LockGrant>, LockError> {
        self.lock.take_over(workloads, deployment).await
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_journal_is_found_by_name() {
    for (fault, name) in [
        (Fault::LosesTheLast, "what-was-appended-is-loaded"),
        (Fault::ForgetsAtReopen, "what-was-appended-is-loaded"),
        (Fault::CutsLongText, "large-and-foreign-text-is-kept"),
        (Fault::NewestFirst, "each-workload-lists-its-deployments"),
        (Fault::FirstWorkloadOnly, "each-workload-lists-its-deployments"),
        (Fault::LastEpochOnly, "the-last-epoch-is-the-largest"),
        (Fault::SwallowsFence, "an-older-epoch-cannot-append"),
    ] {
        let report = conformance::journal(&Broken::new(fault)).await;
        assert!(report.failed().contains(&name), "{fault:?} was not found by {name}: {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_lock_is_found_by_name() {
    for (fault, name) in [
        (Fault::TwoWinners, "one-at-a-time"),
        (Fault::KeepsAfterDrop, "a-dropped-grant-is-free"),
        (Fault::TakesSome, "all-or-none"),
        (Fault::SameEpoch, "epochs-grow"),
        (Fault::NeverLost, "renew-notices-the-loss"),
        (Fault::KeepsWhenDropped, "a-dropped-acquire-holds-nothing"),
        (Fault::NobodyHolds, "the-holder-is-known"),
    ] {
        let report = conformance::lock(&Broken::new(fault)).await;
        assert!(report.failed().contains(&name), "{fault:?} was not found by {name}: {report}");
    }
}

/// A check that says of all instances what it said of the first one.
#[derive(Debug)]
struct OneForAll(fn(&Instance) -> Probe);

#[async_trait]
impl HealthRig for OneForAll {
    async fn check(&self) -> Arc<dyn HealthCheck> {
        let probe = self.0;
        Arc::new(check_fn("broken", move |_, instance| {
            let probe = probe(&instance);
            async move {
                if instance.id.as_str() == "hangs" {
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                }
                probe
            }
        }))
    }

    async fn instance(&self, case: HealthCase) -> Option<Instance> {
        let name = match case {
            HealthCase::Works => "works",
            HealthCase::Broken => "broken",
            HealthCase::Hidden => "hidden",
            HealthCase::Hangs => "hangs",
            _ => return None,
        };
        Some(conformance::instance(name, None))
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_checks_are_found_by_name() {
    let report = conformance::health(&OneForAll(|_| Probe::Ok)).await;
    let expected = [
        "what-does-not-work-has-failed",
        "what-cannot-be-found-out-is-unknown",
        "the-deadline-is-kept",
        "it-reaches-that-very-instance",
    ];
    assert_eq!(report.failed(), expected, "{report}");
    let report = conformance::health(&OneForAll(|_| Probe::Failed { why: String::new() })).await;
    assert!(report.failed().contains(&"what-works-is-ok"), "{report}");
    assert!(report.failed().contains(&"what-does-not-work-has-failed"), "it says nothing: {report}");
}

/// A gate that always answers so.
#[derive(Debug)]
struct Always(fn(&GateWindow) -> GateAnswer);

#[async_trait]
impl GateRig for Always {
    async fn gate(&self, case: GateCase) -> Option<(Arc<dyn Gate>, GateWindow)> {
        let answer = self.0;
        let gate = gate_fn("broken", move |_, window| std::future::ready(answer(&window)));
        matches!(case, GateCase::CannotFindOut | GateCase::Holds)
            .then(|| (Arc::new(gate) as Arc<dyn Gate>, conformance::gate_window(TestClock::START)))
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_gates_are_found_by_name() {
    let passes = Always(|window| GateAnswer {
        verdict: Verdict::Pass { reason: "nobody could look".into() },
        memory: json!(null),
        next_at: window.now,
    });
    let report = conformance::gate(&passes).await;
    assert!(report.failed().contains(&"what-cannot-be-found-out-is-unknown"), "{report}");
    let at_once = Always(|window| GateAnswer {
        verdict: Verdict::Hold { reason: "wait".into() },
        memory: json!(null),
        next_at: window.now,
    });
    let report = conformance::gate(&at_once).await;
    assert!(report.failed().contains(&"a-hold-says-when-to-ask-again"), "{report}");
    let remembers = Always(|window| GateAnswer {
        verdict: Verdict::Hold { reason: "wait".into() },
        memory: json!(format!("{}{}", window.memory, "x".repeat(300))),
        next_at: window.now.after(Duration::from_secs(1)),
    });
    let report = conformance::gate(&remembers).await;
    assert_eq!(
        report.failed(),
        ["what-cannot-be-found-out-is-unknown", "its-memory-is-small-and-its-own"],
        "{report}"
    );
}

/// A clock that goes back, or sleeps half as long.
#[derive(Debug)]
struct BadClock {
    count: AtomicU64,
    goes_back: bool,
    inner: TestClock,
}

#[async_trait]
impl Clock for BadClock {
    fn now(&self) -> Timestamp {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let behind = if self.goes_back && count % 7 == 6 { 1000 } else { 0 };
        Timestamp::from_millis(self.inner.now().as_millis() - behind)
    }

    async fn sleep(&self, duration: Duration) {
        self.inner.sleep(if self.goes_back { duration } else { duration / 2 }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_clocks_are_found_by_name() {
    let clock = |goes_back| BadClock { count: AtomicU64::new(0), goes_back, inner: TestClock::new() };
    let report = conformance::clock(&clock(true)).await;
    assert!(report.failed().contains(&"it-never-goes-back"), "{report}");
    let report = conformance::clock(&clock(false)).await;
    assert_eq!(report.failed(), ["a-sleep-is-as-long-as-asked"], "{report}");
}

/// A source with one secret; a broken one has an empty one for every other name, and shows its own.
#[derive(Clone)]
struct Vault {
    broken: bool,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault {}", if self.broken { VALUE } else { "of one secret" })
    }
}

const VALUE: &str = "correct horse battery staple";

#[async_trait]
impl SecretSource for Vault {
    async fn resolve(&self, secret: &SecretRef) -> deployer_core::ports::Result<Secret> {
        match secret.0.as_str() {
            "token" => Ok(Secret::new(VALUE)),
            _ if self.broken => Ok(Secret::new("")),
            name => {
                Err(BackendError::new(ErrorKind::NotFound, "resolve", format!("there is no secret {name:?}")))
            }
        }
    }
}

#[async_trait]
impl SecretRig for Vault {
    async fn source(&self) -> Arc<dyn SecretSource> {
        Arc::new(self.clone())
    }

    fn known(&self) -> (SecretRef, String) {
        (SecretRef("token".into()), VALUE.into())
    }
}

#[tokio::test(start_paused = true)]
async fn secret_sources_are_told_apart() {
    conformance::secrets(&Vault { broken: false }).await.assert();
    let report = conformance::secrets(&Vault { broken: true }).await;
    let expected = ["no-secret-is-not-an-empty-one", "hostile-names-are-names", "nothing-shows-the-value"];
    assert_eq!(report.failed(), expected, "{report}");
}

/// How a receiver behaves.
#[derive(Debug, Clone, Copy)]
enum Receiver {
    Listens,
    Refuses,
    Hangs,
}

/// A notifier with such a receiver; a broken one says that all is well, or waits for ever.
#[derive(Debug, Clone)]
struct Told {
    receiver: Receiver,
    broken: bool,
    heard: Arc<parking_lot::Mutex<Vec<String>>>,
}

impl Told {
    fn new(broken: bool) -> Self {
        Self { receiver: Receiver::Listens, broken, heard: Arc::default() }
    }
}

#[async_trait]
impl Notifier for Told {
    async fn notify(&self, event: &Event) -> deployer_core::ports::Result<()> {
        let failed = |kind| Err(BackendError::new(kind, "notify", "the receiver"));
        match (self.receiver, self.broken) {
            (Receiver::Listens, false) => self.heard.lock().push(event.deployment.to_string()),
            (Receiver::Refuses, false) => return failed(ErrorKind::PermissionDenied),
            (Receiver::Hangs, false) => {
                tokio::time::sleep(Duration::from_secs(10)).await;
                return failed(ErrorKind::TimedOut);
            }
            (Receiver::Hangs, true) => std::future::pending().await,
            (_, true) => {}
        }
        Ok(())
    }
}

#[async_trait]
impl NotifierRig for Told {
    async fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::new(self.clone())
    }

    async fn was_told(&self, text: &str) -> Option<bool> {
        Some(self.heard.lock().iter().any(|heard| heard == text))
    }

    async fn refusing(&self) -> Option<Arc<dyn Notifier>> {
        Some(Arc::new(Self { receiver: Receiver::Refuses, ..self.clone() }))
    }

    async fn hanging(&self) -> Option<Arc<dyn Notifier>> {
        Some(Arc::new(Self { receiver: Receiver::Hangs, ..self.clone() }))
    }
}

#[tokio::test(start_paused = true)]
async fn notifiers_are_told_apart() {
    conformance::notifier(&Told::new(false)).await.assert();
    let report = conformance::notifier(&Told::new(true)).await;
    let expected = [
        "it-tells",
        "a-refusal-is-an-error",
        "a-receiver-that-hangs-is-given-up",
        "a-notification-can-be-dropped",
    ];
    assert_eq!(report.failed(), expected, "{report}");
}
