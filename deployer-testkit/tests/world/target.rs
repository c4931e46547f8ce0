//! Sets and their instances.

use std::time::Duration;

use deployer_core::{
    error::ErrorKind,
    model::{
        Epoch, InstanceId, InstancePhase, Maintenance, PlaceStatus, Release, ReleaseId, SetSpec, Split,
        WorkloadId,
    },
    ports::HealthCheck as _,
    strategy::Probe,
};
use deployer_testkit::world::{Behaviour, IncidentKind, Latency, WorldSettings};

use super::{Fixture, is_stopping, release, set};

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
