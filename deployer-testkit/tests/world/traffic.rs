//! The router, its data plane, and what it notices.

use std::time::Duration;

use deployer_core::{
    error::ErrorKind,
    model::{InFlight, InstanceId, InstancePhase, Maintenance, Member, Percent, Proof, ReleaseId, Split},
    ports::MetricSource as _,
};
use deployer_testkit::{
    TestClock,
    world::{Behaviour, IncidentKind, Latency, WorldSettings},
};

use super::{Fixture, release, set, split};

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

    let f = Fixture::new(settings());
    let (old, new) = (f.world.put(&f.web, &release("v1"), 1), release("v2"));
    assert_eq!(f.size(&new, 1, &[]).await, None);
    f.pass(5).await;
    let running = f.instances("v2").await;
    f.send_to(&[("v1", 1, &old), ("v2", 1, &running)]).await;
    assert_eq!(f.size(&new, 0, &[]).await, None);
    let stopped = IncidentKind::StoppedInRotation { instance: running[0].id.clone() };
    assert_eq!(f.caused(), [stopped], "requests may come at any moment");

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
    assert_eq!((f.world.available(&f.web), f.world.in_rotation(&f.web).len()), (1, 1));
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
