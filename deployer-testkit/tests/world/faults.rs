//! Fences, faults, hints and determinism.

use std::time::Duration;

use deployer_core::{
    error::ErrorKind,
    model::{Epoch, InstancePhase, Maintenance, ReleaseId, SetSpec, Split},
    ports::{Clock as _, HealthCheck as _},
    strategy::Probe,
};
use deployer_testkit::{
    TestClock,
    world::{Behaviour, CallKind, CallOutcome, Fault, FaultRates, Latency, WorldSettings},
};
use futures::StreamExt as _;

use super::{Fixture, release, set};

#[tokio::test(start_paused = true)]
async fn an_old_epoch_is_refused_where_the_backend_can() {
    let f = Fixture::new(WorldSettings::default());
    f.world.put(&f.web, &release("v1"), 1);
    assert_eq!(f.size(&release("v1"), 1, &[]).await, None);
    f.router.apply(&f.context, &Split::EMPTY).await.unwrap();
    let spec = SetSpec { set: set("v1"), replicas: 4, remove_first: Vec::new() };
    let old = f.with_epoch(4);
    let refused = [
        f.target.apply(&old, &release("v1"), &spec).await,
        f.target.remove(&old, &set("v1")).await,
        f.router.apply(&old, &Split::Maintenance(Maintenance::default())).await,
    ];
    assert!(
        refused.iter().all(|result| result.as_ref().is_err_and(|error| error.kind == ErrorKind::Conflict))
    );
    assert_eq!(f.world.total(&f.web), 1);
    assert_eq!(f.router.current(&old).await.unwrap().split, Split::EMPTY);
    f.world.stamp(&f.web, Epoch(9));
    assert_eq!(f.size(&release("v1"), 2, &[]).await, Some(ErrorKind::Conflict), "a take-over fences us too");

    let mut settings = WorldSettings::default();
    (settings.target.fences, settings.router.fences) = (false, false);
    let f = Fixture::new(settings);
    f.world.stamp(&f.web, Epoch(9));
    assert_eq!(f.size(&release("v1"), 2, &[]).await, None);
    f.router.apply(&f.context, &Split::EMPTY).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn faults_are_where_they_were_planned_and_nowhere_else() {
    let f = Fixture::new(WorldSettings::default());
    f.world.plan(CallKind::Apply, 2, Fault::Fail(ErrorKind::Unavailable));
    f.world.plan(CallKind::Apply, 3, Fault::DropAnswer);
    f.world.plan(CallKind::Apply, 4, Fault::Hang);
    f.world.plan(CallKind::Apply, 5, Fault::DoAndHang);
    f.world.plan(CallKind::Remove, 1, Fault::Fail(ErrorKind::Unexpected));
    let v1 = release("v1");
    let mut totals = Vec::new();
    let mut answers = Vec::new();
    for replicas in 1..=6 {
        let limited = tokio::time::timeout(Duration::from_secs(60), f.size(&v1, replicas, &[]));
        answers.push(limited.await.ok());
        totals.push(f.world.total(&f.web));
    }
    let (failed, lost) = (Some(ErrorKind::Unavailable), Some(ErrorKind::TimedOut));
    assert_eq!(answers, [Some(None), Some(failed), Some(lost), None, None, Some(None)]);
    assert_eq!(totals, [1, 1, 3, 3, 5, 6]);
    assert_eq!(f.world.unfired().len(), 1, "the removal never came");
    let outcomes: Vec<_> = f.world.calls().iter().map(|call| call.outcome).collect();
    let error = ErrorKind::Unavailable;
    assert_eq!(outcomes[..2], [CallOutcome::Answered, CallOutcome::Failed { error, done: false }]);
    assert_eq!(outcomes[2], CallOutcome::Failed { error: ErrorKind::TimedOut, done: true });
    assert_eq!(
        outcomes[3..5],
        [CallOutcome::Unfinished { done: false }, CallOutcome::Unfinished { done: true }]
    );
    let call = &f.world.calls()[4];
    assert_eq!((call.kind, call.number, call.context.epoch), (CallKind::Apply, 5, Epoch(5)));
    assert!(call.to_string().contains("set v1 to 5 instances"), "{call}");

    f.world.plan(CallKind::Probe, 1, Fault::Fail(ErrorKind::Unavailable));
    let instance = &f.instances("v1").await[0];
    let probe = f.world.health().probe(&f.context, instance).await;
    assert!(matches!(probe, Probe::Unknown { .. }), "a probe that fails says nothing: {probe:?}");
}

#[tokio::test(start_paused = true)]
async fn random_faults_have_their_rates_and_a_dropped_call_may_not_have_happened() {
    let f = Fixture::new(WorldSettings { call: Latency::millis(100, 100), ..WorldSettings::default() });
    let dropped = tokio::time::timeout(Duration::from_millis(40), f.size(&release("v1"), 1, &[])).await;
    assert!(dropped.is_err());
    assert_eq!(f.world.total(&f.web), 0);
    let dropped = tokio::time::timeout(Duration::from_millis(60), f.size(&release("v1"), 1, &[])).await;
    assert!(dropped.is_err());
    assert_eq!(f.world.total(&f.web), 1);

    f.world.set_fault_rates(FaultRates { fail: 200, ..FaultRates::default() });
    let mut failed = 0;
    for _ in 0..500 {
        failed += u32::from(f.target.observe(&f.context).await.is_err());
    }
    assert!((60..=140).contains(&failed), "{failed} of 500 at 200 of 1000");
    f.world.set_fault_rates(FaultRates::default());
    for _ in 0..100 {
        f.target.observe(&f.context).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn hints_come_when_something_changes() {
    let f = Fixture::new(WorldSettings { start: Latency::millis(5000, 5000), ..WorldSettings::default() });
    let mut hints = f.target.watch(&f.context).await.unwrap();
    let waits = Duration::from_secs(60);
    assert!(tokio::time::timeout(waits, hints.next()).await.is_err(), "nothing changes in an empty world");
    assert_eq!(f.size(&release("v1"), 1, &[]).await, None);
    assert_eq!(tokio::time::timeout(waits, hints.next()).await, Ok(Some(())));
    let asked = f.clock.now();
    assert_eq!(tokio::time::timeout(waits, hints.next()).await, Ok(Some(())));
    let later = f.clock.now().since(asked);
    assert!(later >= Duration::from_secs(4), "the next one comes when it runs, after {later:?}");
    assert_eq!(f.instances("v1").await[0].phase, InstancePhase::Running { ready: None });
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_world() {
    async fn story(seed: u64) -> String {
        let f = Fixture::new(WorldSettings { seed, ..WorldSettings::default() });
        f.world.put(&f.web, &release("v1"), 3);
        f.world.set_fault_rates(FaultRates { fail: 100, drop_answer: 100, ..FaultRates::default() });
        for replicas in [1, 4, 2, 0, 3] {
            f.size(&release("v2"), replicas, &[]).await;
            f.pass(1).await;
        }
        format!("{:#?}\n{:#?}\n{:#?}", f.world.calls(), f.world.history(&f.web), f.world.incidents())
    }
    assert_eq!(story(7).await, story(7).await);
    assert_ne!(story(7).await, story(8).await);
}

#[tokio::test(start_paused = true)]
async fn what_happens_while_nobody_looks_is_written_down_at_its_moment() {
    let mut settings = WorldSettings { routed: false, call: Latency::NONE, ..WorldSettings::default() };
    (settings.start, settings.ready) = (Latency::millis(1000, 1000), Latency::millis(2000, 2000));
    let f = Fixture::new(settings);
    let dies_after = Some(Duration::from_secs(10));
    f.world.behave(ReleaseId::new("v1").unwrap(), Behaviour { dies_after, ..Behaviour::default() });
    assert_eq!(f.size(&release("v1"), 2, &[]).await, None);
    f.pass(60).await;
    let history = f.world.history(&f.web);
    let seen: Vec<_> = history
        .iter()
        .map(|one| (one.at.since(TestClock::START).as_secs(), one.available, one.total))
        .collect();
    assert_eq!(seen, [(0, 0, 2), (3, 2, 2), (10, 0, 0)]);
    let extremes = f.world.extremes(&f.web, TestClock::START.after(Duration::from_secs(5)));
    assert_eq!((extremes.max_available, extremes.min_available), (2, 0));
}
