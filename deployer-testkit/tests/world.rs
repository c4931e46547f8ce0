//! The fake world keeps the contracts of the ports, has its faults where they were planned, and its oracles see what
//! happened.
#![expect(clippy::unwrap_used, reason = "a test may end so")]

use std::{sync::Arc, time::Duration};

use deployer_core::{
    error::ErrorKind,
    model::{
        DeploymentId, Epoch, InFlight, Instance, InstanceId, InstancePhase, Maintenance, Member, Percent,
        PinnedRelease, PlaceStatus, Proof, Release, ReleaseId, SetId, SetSpec, Share, Split, WorkloadId,
    },
    ports::{CallContext, Clock, HealthCheck as _, MetricSource as _, Target, TrafficRouter},
    strategy::Probe,
};
use deployer_testkit::{
    TestClock,
    world::{
        Behaviour, CallKind, CallOutcome, Fault, FaultRates, Incident, IncidentKind, Latency, World,
        WorldSettings,
    },
};
use futures::StreamExt as _;

struct Fixture {
    world: World,
    clock: Arc<TestClock>,
    target: Arc<dyn Target>,
    router: Arc<dyn TrafficRouter>,
    web: WorkloadId,
    context: CallContext,
}

impl Fixture {
    fn new(settings: WorldSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        let world = World::new(settings, Arc::clone(&clock) as Arc<dyn Clock>);
        let web = WorkloadId::new("web").unwrap();
        let context = CallContext {
            workload: web.clone(),
            deployment: DeploymentId::new("d1").unwrap(),
            epoch: Epoch(5),
            deadline: Duration::from_secs(10),
        };
        let (target, router) = (world.target(), world.router());
        Self { world, clock, target, router, web, context }
    }

    fn with_epoch(&self, epoch: u64) -> CallContext {
        CallContext { epoch: Epoch(epoch), ..self.context.clone() }
    }

    async fn size(&self, release: &PinnedRelease, replicas: u32, first: &[&InstanceId]) -> Option<ErrorKind> {
        let remove_first = first.iter().map(|id| (*id).clone()).collect();
        let spec = SetSpec { set: SetId::from(&release.release.id), replicas, remove_first };
        self.target.apply(&self.context, release, &spec).await.err().map(|error| error.kind)
    }

    async fn instances(&self, set: &str) -> Vec<Instance> {
        let view = self.target.observe(&self.context).await.unwrap();
        view.sets
            .into_iter()
            .find(|seen| seen.set.as_str() == set)
            .map(|seen| seen.instances)
            .unwrap_or_default()
    }

    async fn ids(&self, set: &str) -> Vec<InstanceId> {
        self.instances(set).await.into_iter().map(|instance| instance.id).collect()
    }

    async fn pass(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    async fn send_to(&self, shares: &[(&str, u32, &[Instance])]) {
        self.router.apply(&self.context, &split(shares)).await.unwrap();
    }

    fn caused(&self) -> Vec<IncidentKind> {
        self.world.incidents().into_iter().filter(Incident::is_caused).map(|one| one.kind).collect()
    }
}

fn release(name: &str) -> PinnedRelease {
    World::release(ReleaseId::new(name).unwrap())
}

fn set(name: &str) -> SetId {
    SetId::new(name).unwrap()
}

fn split(shares: &[(&str, u32, &[Instance])]) -> Split {
    let members = |instances: &[Instance]| {
        instances.iter().map(|one| Member { instance: one.id.clone(), address: one.address }).collect()
    };
    let shares = shares.iter().map(|(name, weight, instances)| Share {
        set: set(name),
        weight: *weight,
        members: members(instances),
    });
    Split::Serve { shares: shares.collect(), routes: Vec::new() }
}

fn is_stopping(instance: &Instance) -> bool {
    matches!(instance.phase, InstancePhase::Stopping { .. })
}

#[tokio::test(start_paused = true)]
async fn a_size_is_a_level() {
    let f = Fixture::new(WorldSettings::default());
    assert_eq!(f.size(&release("v1"), 3, &[]).await, None);
    let first = f.instances("v1").await;
    assert_eq!(first.len(), 3);
    assert!(
        first.iter().all(|one| one.phase == InstancePhase::Starting && one.address.is_none()),
        "{first:?}"
    );
    assert_eq!(f.size(&release("v1"), 3, &[]).await, None);
    f.pass(5).await;
    let later = f.instances("v1").await;
    assert_eq!(f.ids("v1").await, first.iter().map(|one| one.id.clone()).collect::<Vec<_>>());
    assert!(
        later.iter().all(|one| one.phase == InstancePhase::Running { ready: None } && one.address.is_some())
    );
    let places: std::collections::BTreeSet<_> = later.iter().map(|one| one.place.clone()).collect();
    assert_eq!(places.len(), 3, "spread over the places");
}

#[tokio::test(start_paused = true)]
async fn shrinking_takes_the_named_ones_and_no_other() {
    let f = Fixture::new(WorldSettings { stop: Latency::millis(900, 900), ..WorldSettings::default() });
    let all: Vec<_> = f.world.put(&f.web, &release("v1"), 4).into_iter().map(|one| one.id).collect();
    let split = Split::Maintenance(Maintenance::default());
    f.router.apply(&f.context, &split).await.unwrap();
    f.pass(10).await;
    for _ in 0..2 {
        assert_eq!(f.size(&release("v1"), 2, &[&all[1], &all[0]]).await, None);
        let stopping: Vec<_> =
            f.instances("v1").await.into_iter().filter(is_stopping).map(|one| one.id).collect();
        assert_eq!(stopping, all[..2], "said twice is said once");
    }
    assert_eq!(f.world.total(&f.web), 4, "what stops still exists");
    f.pass(1).await;
    assert_eq!(f.ids("v1").await, all[2..]);
    assert_eq!(f.size(&release("v1"), 2, &[&all[2]]).await, None);
    assert!(!f.instances("v1").await.iter().any(is_stopping), "naming alone makes nothing smaller");
    assert_eq!(f.caused(), []);

    let mut settings = WorldSettings::default();
    settings.target.pins_victims = false;
    let f = Fixture::new(settings);
    let all = f.world.put(&f.web, &release("v1"), 3);
    assert_eq!(f.size(&release("v1"), 2, &[&all[0].id]).await, None);
    let stopping: Vec<_> =
        f.instances("v1").await.into_iter().filter(is_stopping).map(|one| one.id).collect();
    assert_eq!(stopping, [all[2].id.clone()], "the newest goes, whoever was named");
}

#[tokio::test(start_paused = true)]
async fn what_ended_is_kept_for_evidence_until_the_set_is_applied_and_is_then_replaced() {
    let f = Fixture::new(WorldSettings::default());
    let all = f.world.put(&f.web, &release("v1"), 2);
    f.world.kill(&all[0].id);
    let seen = f.instances("v1").await;
    assert!(
        matches!(&seen[0].phase, InstancePhase::Failed { reason } if reason.contains("signal 9")),
        "{seen:?}"
    );
    assert_eq!((f.world.total(&f.web), f.world.available(&f.web)), (1, 1));
    let evidence = f.target.evidence(&f.context, &all[0].id).await.unwrap();
    assert_eq!(evidence.exit.as_deref(), Some("killed (signal 9)"));
    assert_eq!(f.size(&release("v1"), 2, &[]).await, None);
    let ids: Vec<_> = f.ids("v1").await.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["v1-2", "v1-3"], "a name is never used twice");
    let gone = f.target.evidence(&f.context, &all[0].id).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);
    let died = IncidentKind::DiedInRotation { instance: all[0].id.clone() };
    assert_eq!(f.world.incidents().into_iter().map(|one| one.kind).collect::<Vec<_>>(), [died]);
    assert_eq!(f.caused(), [], "nobody is to blame for that");
}

#[tokio::test(start_paused = true)]
async fn removing_stops_first_and_names_stay_used() {
    let f = Fixture::new(WorldSettings::default());
    assert_eq!(f.size(&release("v1"), 2, &[]).await, None);
    f.pass(5).await;
    for _ in 0..2 {
        f.target.remove(&f.context, &set("v1")).await.unwrap();
        let seen = f.instances("v1").await;
        assert!(seen.len() == 2 && seen.iter().all(is_stopping), "{seen:?}");
    }
    f.pass(1).await;
    assert_eq!(f.target.observe(&f.context).await.unwrap().sets, []);
    f.target.remove(&f.context, &set("v1")).await.unwrap();
    assert_eq!(f.size(&release("v1"), 1, &[]).await, None);
    assert_eq!(f.ids("v1").await, [InstanceId::new("v1-3").unwrap()]);
    assert_eq!(f.size(&release("v1"), 0, &[]).await, None);
    f.pass(1).await;
    let sets = f.target.observe(&f.context).await.unwrap().sets;
    assert_eq!(sets.len(), 1, "a set of size zero is remembered until it is removed");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_without_effect() {
    let f = Fixture::new(WorldSettings::default());
    f.world.put(&f.web, &release("v1"), 1);
    let mut other = release("v1");
    other.artifact = release("v2").artifact;
    assert_eq!(f.size(&other, 2, &[]).await, Some(ErrorKind::AlreadyExists));
    let spec = SetSpec { set: set("v3"), replicas: 1, remove_first: Vec::new() };
    let error = f.target.apply(&f.context, &release("v2"), &spec).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    f.world.behave(ReleaseId::new("v4").unwrap(), Behaviour { missing: true, ..Behaviour::default() });
    assert_eq!(f.size(&release("v4"), 1, &[]).await, Some(ErrorKind::NotFound));
    let prepared = f.target.prepare(&f.context, &release("v4").release).await;
    assert_eq!(prepared.unwrap_err().kind, ErrorKind::NotFound);
    let odd = Release { config: serde_json::json!(["what"]), ..release("v5").release };
    assert_eq!(f.target.prepare(&f.context, &odd).await.unwrap_err().kind, ErrorKind::InvalidInput);
    let (v6, again) = (release("v6"), f.target.prepare(&f.context, &release("v6").release).await.unwrap());
    assert_eq!(v6.artifact, again);
    f.world.forget_release(&f.web, &set("v1"));
    assert_eq!(f.size(&release("v1"), 2, &[]).await, Some(ErrorKind::Unsupported));
    assert_eq!(f.size(&release("v1"), 1, &[]).await, None);
    assert_eq!(f.world.total(&f.web), 1);
}

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
async fn an_unknown_place_hides_its_instances_and_keeps_them() {
    let f = Fixture::new(WorldSettings { routed: false, ..WorldSettings::default() });
    let all = f.world.put(&f.web, &release("v1"), 3);
    let place = all[0].place.clone();
    f.world.partition(&place, "no route to host");
    let view = f.target.observe(&f.context).await.unwrap();
    let unknown: Vec<_> = view.places.iter().filter(|one| one.status != PlaceStatus::Known).collect();
    assert_eq!((unknown.len(), &unknown[0].place), (1, &place));
    assert_eq!(f.ids("v1").await, [all[1].id.clone(), all[2].id.clone()]);
    assert_eq!((f.world.total(&f.web), f.world.available(&f.web)), (3, 3), "in truth they run on");
    let probe = f.world.health().probe(&f.context, &all[0]).await;
    assert!(matches!(probe, Probe::Unknown { .. }), "{probe:?}");
    assert_eq!(f.size(&release("v1"), 3, &[]).await, None);
    assert_eq!(f.world.total(&f.web), 3, "what cannot be seen is not made again");
    assert_eq!(f.size(&release("v1"), 2, &[&all[0].id]).await, Some(ErrorKind::Unavailable));
    assert_eq!(f.ids("v1").await.len(), 2, "no other went in its place");
    f.world.heal(&place);
    assert_eq!(f.size(&release("v1"), 2, &[&all[0].id]).await, None);
    f.pass(1).await;
    assert_eq!(f.ids("v1").await, [all[1].id.clone(), all[2].id.clone()]);
    for one in &all {
        f.world.partition(&one.place, "gone");
    }
    let blind = f.target.observe(&f.context).await.unwrap_err();
    assert_eq!(blind.kind, ErrorKind::Unavailable, "never an empty view");
    f.world.lose(&all[1].place);
    assert_eq!(f.world.total(&f.web), 1);
}

#[tokio::test(start_paused = true)]
async fn the_data_plane_follows_later_and_requests_end_later_still() {
    let settings =
        WorldSettings { switch: Latency::millis(500, 500), in_flight: 4, ..WorldSettings::default() };
    let f = Fixture::new(settings);
    let before = f.router.current(&f.context).await.unwrap();
    assert_eq!((before.split, before.proof), (Split::EMPTY, Proof::Proven { generation: 0 }));
    let old = f.world.put(&f.web, &release("v1"), 1);
    assert_eq!(f.size(&release("v2"), 1, &[]).await, None);
    f.pass(5).await;
    let new = f.instances("v2").await;
    f.send_to(&[("v2", 100, &new)]).await;
    assert_eq!(f.router.current(&f.context).await.unwrap().proof, Proof::Pending);
    assert_eq!(f.world.in_rotation(&f.web), [old[0].id.clone()]);
    f.pass(1).await;
    let proof = f.router.current(&f.context).await.unwrap().proof;
    assert_eq!(proof, Proof::Proven { generation: 2 });
    f.send_to(&[("v2", 100, &new)]).await;
    assert_eq!(f.router.current(&f.context).await.unwrap().proof, proof, "said twice is said once");
    assert_eq!(f.world.in_rotation(&f.web), [new[0].id.clone()]);
    let members = [&old[0], &new[0]].map(|one| Member { instance: one.id.clone(), address: one.address });
    let busy = f.router.in_flight(&f.context, &members).await.unwrap();
    assert!(matches!(busy[0], InFlight::Known(1..=3)) && busy[1] == InFlight::Known(4), "{busy:?}");
    f.pass(3).await;
    let idle = f.router.in_flight(&f.context, &members).await.unwrap();
    assert_eq!(idle, [InFlight::Known(0), InFlight::Known(4)]);
    f.target.remove(&f.context, &set("v1")).await.unwrap();
    f.pass(3).await;
    assert_eq!(f.caused(), []);
    let extremes = f.world.extremes(&f.web, TestClock::START.after(Duration::from_millis(100)));
    assert_eq!((extremes.min_available, extremes.max_total), (1, 2));
    assert_eq!(f.world.total(&f.web), 1);

    let mut settings = WorldSettings::default();
    (settings.router.proves, settings.router.counts_in_flight) = (false, false);
    let f = Fixture::new(settings);
    let old = f.world.put(&f.web, &release("v1"), 1);
    assert_eq!(f.router.current(&f.context).await.unwrap().proof, Proof::CannotKnow);
    let member = Member { instance: old[0].id.clone(), address: None };
    assert_eq!(f.router.in_flight(&f.context, &[member]).await.unwrap(), [InFlight::Unknown]);
}

#[tokio::test(start_paused = true)]
async fn rude_handling_is_noticed() {
    let settings = || WorldSettings { switch: Latency::millis(500, 500), ..WorldSettings::default() };
    let f = Fixture::new(settings());
    let all = f.world.put(&f.web, &release("v1"), 2);
    assert_eq!(f.size(&release("v1"), 1, &[&all[0].id]).await, None);
    let stopped = IncidentKind::StoppedInRotation { instance: all[0].id.clone() };
    assert_eq!(f.caused(), [stopped]);

    let f = Fixture::new(settings());
    let all = f.world.put(&f.web, &release("v1"), 2);
    f.send_to(&[("v1", 1, &all[1..])]).await;
    assert_eq!(f.size(&release("v1"), 1, &[&all[0].id]).await, None);
    let stopped = IncidentKind::StoppedInRotation { instance: all[0].id.clone() };
    assert_eq!(f.caused(), [stopped], "accepted is not yet followed");

    let f = Fixture::new(settings());
    let all = f.world.put(&f.web, &release("v1"), 2);
    f.send_to(&[("v1", 1, &all[1..])]).await;
    f.pass(1).await;
    assert_eq!(f.size(&release("v1"), 1, &[&all[0].id]).await, None);
    assert!(
        matches!(&f.caused()[..], [IncidentKind::StoppedBusy { instance, in_flight: 1.. }] if *instance == all[0].id),
        "{:?}",
        f.caused()
    );

    let f = Fixture::new(WorldSettings { start: Latency::millis(5000, 5000), ..settings() });
    assert_eq!(f.size(&release("v1"), 1, &[]).await, None);
    let starting = f.instances("v1").await;
    let mut nobody = starting[0].clone();
    nobody.id = InstanceId::new("nobody").unwrap();
    f.send_to(&[("v1", 1, &[starting[0].clone(), nobody.clone()])]).await;
    f.pass(1).await;
    f.send_to(&[]).await;
    f.pass(1).await;
    let unready = IncidentKind::RoutedToUnready { instance: starting[0].id.clone() };
    let nowhere = IncidentKind::RoutedToNothing { set: set("v1"), instance: nobody.id };
    assert_eq!(f.caused(), [unready, nowhere, IncidentKind::EmptyRotation]);
}

#[tokio::test(start_paused = true)]
async fn requests_to_what_does_not_work_are_noticed() {
    let f = Fixture::new(WorldSettings::default());
    f.world.behave(ReleaseId::new("v1").unwrap(), Behaviour { never_ready: true, ..Behaviour::default() });
    assert_eq!(f.size(&release("v1"), 1, &[]).await, None);
    f.pass(5).await;
    let running = f.instances("v1").await;
    f.send_to(&[("v1", 1, &running)]).await;
    f.pass(1).await;
    assert_eq!(f.caused(), [IncidentKind::RoutedToUnready { instance: running[0].id.clone() }]);
    assert_eq!((f.world.available(&f.web), f.world.in_rotation(&f.web).len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_router_refuses_what_it_cannot_do() {
    let mut settings = WorldSettings::default();
    (settings.router.weights, settings.router.maintenance) = (false, false);
    let f = Fixture::new(settings);
    let all = f.world.put(&f.web, &release("v1"), 3);
    let accepted = f.router.current(&f.context).await.unwrap();
    for refused in [
        Split::Maintenance(Maintenance::default()),
        split(&[("v1", 1, &all), ("v1", 1, &all)]),
        split(&[("v1", 90, &all[..2]), ("v2", 10, &all[2..])]),
    ] {
        let error = f.router.apply(&f.context, &refused).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{refused:?}");
    }
    assert_eq!(f.router.current(&f.context).await.unwrap(), accepted);
    f.send_to(&[("v1", 2, &all[..2]), ("v2", 1, &all[2..])]).await;
}

#[tokio::test(start_paused = true)]
async fn releases_behave_as_they_were_told() {
    let mut settings = WorldSettings { routed: false, ..WorldSettings::default() };
    (settings.start, settings.ready) = (Latency::NONE, Latency::NONE);
    let f = Fixture::new(settings);
    let health = f.world.health();
    let behave = |name: &str, behaviour| f.world.behave(ReleaseId::new(name).unwrap(), behaviour);
    behave("dies", Behaviour { dies_after: Some(Duration::from_secs(10)), ..Behaviour::default() });
    behave("flaps", Behaviour { flaps: Some(Duration::from_secs(10)), ..Behaviour::default() });
    behave("stays", Behaviour { ignores_stop: true, ..Behaviour::default() });
    for name in ["dies", "flaps", "stays"] {
        assert_eq!(f.size(&release(name), 1, &[]).await, None);
    }
    let flaps = f.instances("flaps").await.remove(0);
    assert_eq!(f.world.available(&f.web), 3);
    assert_eq!(health.probe(&f.context, &flaps).await, Probe::Ok);
    f.pass(11).await;
    assert!(matches!(health.probe(&f.context, &flaps).await, Probe::Failed { .. }));
    let died = &f.instances("dies").await[0];
    assert_eq!(died.phase, InstancePhase::Failed { reason: "exit code 1".to_owned() });
    assert!(matches!(health.probe(&f.context, died).await, Probe::Failed { .. }));
    assert_eq!(f.world.available(&f.web), 1);
    f.pass(10).await;
    assert_eq!(health.probe(&f.context, &flaps).await, Probe::Ok);
    assert_eq!(f.size(&release("stays"), 0, &[]).await, None);
    f.pass(5).await;
    assert!(is_stopping(&f.instances("stays").await[0]));
    f.pass(6).await;
    assert_eq!(f.instances("stays").await, []);
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_target_cannot_have_two_sets() {
    let mut settings = WorldSettings::default();
    settings.target.exclusive = Some("port 80".to_owned());
    let f = Fixture::new(settings);
    f.world.put(&f.web, &release("v1"), 1);
    assert_eq!(f.size(&release("v2"), 1, &[]).await, None);
    f.pass(2).await;
    let seen = &f.instances("v2").await[0];
    assert!(
        matches!(&seen.phase, InstancePhase::Failed { reason } if reason.contains("port 80")),
        "{seen:?}"
    );
    assert_eq!(f.world.available(&f.web), 1);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_admits_by_itself_says_who_is_ready_and_sends_them_requests() {
    let mut settings = WorldSettings::default();
    (settings.target.admits_itself, settings.router.members) = (true, false);
    let f = Fixture::new(settings);
    assert_eq!(f.size(&release("v1"), 2, &[]).await, None);
    f.send_to(&[("v1", 1, &[])]).await;
    f.pass(5).await;
    let seen = f.instances("v1").await;
    assert!(seen.iter().all(|one| one.phase == InstancePhase::Running { ready: Some(true) }), "{seen:?}");
    assert_eq!(f.world.available(&f.web), 2);
    assert_eq!(f.size(&release("v1"), 1, &[]).await, None);
    assert_eq!(f.world.available(&f.web), 1);
    assert_eq!(f.caused(), []);
}

#[tokio::test(start_paused = true)]
async fn metrics_follow_weight_and_behaviour() {
    let settings =
        WorldSettings { requests_per_second: 100, switch: Latency::NONE, ..WorldSettings::default() };
    let f = Fixture::new(settings);
    let errors = Percent::new(25).unwrap();
    f.world.behave(ReleaseId::new("v2").unwrap(), Behaviour { errors, ..Behaviour::default() });
    let old = f.world.put(&f.web, &release("v1"), 1);
    assert_eq!(f.size(&release("v2"), 1, &[]).await, None);
    f.pass(5).await;
    let new = f.instances("v2").await;
    f.send_to(&[("v1", 80, &old), ("v2", 20, &new)]).await;
    f.pass(60).await;
    let metrics = f.world.metrics();
    let counts =
        async |name, seconds| metrics.counts(&f.context, &set(name), Duration::from_secs(seconds)).await;
    let ten = counts("v2", 10).await.unwrap();
    assert_eq!((ten.total, ten.bad), (200, 50));
    assert_eq!(counts("v1", 10).await.unwrap().bad, 0);
    let long = counts("v2", 3600).await.unwrap().total;
    assert!((1200..1300).contains(&long), "only since it is in rotation: {long}");
    assert_eq!(counts("v9", 10).await.unwrap_err().kind, ErrorKind::NotFound, "no data is not zero");
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
async fn everything_made_is_labelled_and_what_is_left_is_found() {
    let f = Fixture::new(WorldSettings::default());
    f.world.put(&f.web, &release("v1"), 1);
    assert_eq!(f.size(&release("v2"), 1, &[]).await, None);
    let labels = f.world.labels(&f.web);
    let made = labels.iter().find(|labels| labels.set == set("v2")).unwrap();
    assert_eq!((made.deployment.as_str(), made.epoch), ("d1", Epoch(5)));
    let orphans = f.world.orphans(&f.web, &[set("v1")]);
    assert_eq!((orphans.len(), &orphans[0].set), (1, &set("v2")));
    f.target.remove(&f.context, &set("v2")).await.unwrap();
    f.pass(1).await;
    assert_eq!(f.world.orphans(&f.web, &[set("v1")]), []);
    assert_eq!(f.world.orphans(&f.web, &[]).len(), 1);
    let other = WorkloadId::new("other").unwrap();
    assert_eq!((f.world.total(&other), f.world.labels(&other).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_world() {
    async fn story(seed: u64) -> String {
        let f = Fixture::new(WorldSettings { seed, ..WorldSettings::default() });
        f.world.put(&f.web, &release("v1"), 3);
        f.world.set_fault_rates(FaultRates { fail: 100, drop_answer: 100, hang: 0 });
        for replicas in [1, 4, 2, 0, 3] {
            f.size(&release("v2"), replicas, &[]).await;
            f.pass(1).await;
        }
        format!("{:#?}\n{:#?}\n{:#?}", f.world.calls(), f.world.history(&f.web), f.world.incidents())
    }
    assert_eq!(story(7).await, story(7).await);
    assert_ne!(story(7).await, story(8).await);
}
