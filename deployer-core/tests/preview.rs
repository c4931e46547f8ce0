//! Every built-in strategy, previewed forward and back, within its own invariants.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use deployer_core::{
    model::{
        Amount, Artifact, InFlight, InstanceId, InstancePhase, Member, Percent, PinnedRelease, Proof,
        Release, ReleaseId, RolloutSettings, RouterCapabilities, SetId, Share, Split, TargetCapabilities,
        Timestamp, WorkloadId,
    },
    strategy::{
        BlueGreen, BlueGreenSettings, Canary, CanarySettings, CanaryStep, InstanceSeen, Observation, Outcome,
        Plan, Preview, Recreate, Rolling, RollingSettings, RolloutState, Seen, SetSeen, StepPause, Strategy,
        TrafficSeen, preview,
    },
};

fn release(name: &str) -> Release {
    Release {
        id: ReleaseId::new(name).unwrap(),
        artifact: "app".into(),
        config: serde_json::Value::Null,
        secrets: Vec::new(),
    }
}

fn plan(replicas: u32, router: bool) -> Plan {
    Plan {
        workload: WorkloadId::new("web").unwrap(),
        release: release("v2"),
        pinned: None,
        stable: Some(PinnedRelease {
            release: release("v1"),
            artifact: Artifact { digest: Arc::from("one"), detail: serde_json::Value::Null },
        }),
        stable_set: Some(SetId::new("v1").unwrap()),
        replicas,
        settings: RolloutSettings::default(),
        gates: Vec::new(),
        target: TargetCapabilities {
            pins_victims: true,
            admits_itself: false,
            delegates: false,
            grows_adopted: true,
            exclusive: None,
            fences: true,
            stop_grace: std::time::Duration::from_secs(10),
        },
        router: router.then_some(RouterCapabilities {
            weights: true,
            header_routes: true,
            cookie_routes: true,
            maintenance: true,
            members: true,
            proves: true,
            counts_in_flight: true,
            fences: true,
        }),
        returning: false,
    }
}

fn serving(replicas: u32, router: bool) -> Observation {
    let id = |n: u32| InstanceId::new(format!("v1-{n}")).unwrap();
    let instance = |n: u32| InstanceSeen {
        id: id(n),
        address: None,
        phase: InstancePhase::Running { ready: None },
        started_at: Timestamp::from_millis(0),
        restarts: 0,
        ready_since: Some(Timestamp::from_millis(1)),
        has_fallen: false,
        judged: true,
        trouble: Arc::from(""),
        digest: Arc::from("one"),
        in_rotation: router,
        in_flight: InFlight::Unknown,
        unknown: false,
    };
    let members = (0..replicas).map(|n| Member { instance: id(n), address: None }).collect();
    let split = Split::Serve {
        shares: vec![Share { set: SetId::new("v1").unwrap(), weight: replicas, members }],
        routes: Vec::new(),
    };
    Observation {
        now: Timestamp::from_millis(1_000_000),
        sets: Seen::Known(vec![SetSeen {
            set: SetId::new("v1").unwrap(),
            instances: (0..replicas).map(instance).collect(),
        }]),
        unknown_places: Vec::new(),
        traffic: router.then(|| {
            Seen::Known(TrafficSeen {
                fingerprint: Observation::fingerprint_of(&split),
                split,
                proof: Proof::Proven { generation: 1 },
                stale_members: 0,
            })
        }),
        prepared: Vec::new(),
        accepted: None,
        gates: Vec::new(),
        requests: Vec::new(),
        refused: None,
    }
}

fn run(strategy: &dyn Strategy, replicas: u32, router: bool, failing: Option<usize>) -> Preview {
    let plan = plan(replicas, router);
    let seen = serving(replicas, router);
    let state = RolloutState::begin(&plan, seen.now);
    preview(strategy, &plan, &state, &seen, failing)
}

fn strategies() -> Vec<(Box<dyn Strategy>, bool)> {
    let rolling = |surge, unavailable, batch: Option<u32>| {
        let settings = RollingSettings {
            surge: Amount::Count(surge),
            max_unavailable: Amount::Count(unavailable),
            batch: batch.map(Amount::Count),
            ..RollingSettings::default()
        };
        Box::new(Rolling::new(settings).unwrap()) as Box<dyn Strategy>
    };
    let step = |weight, pause| CanaryStep { weight: Percent::new(weight).unwrap(), instances: None, pause };
    let canary = CanarySettings {
        steps: vec![step(25, StepPause::UntilPromoted), step(50, StepPause::None)],
        ..CanarySettings::default()
    };
    let green = BlueGreenSettings { candidate: Amount::Count(1), ..BlueGreenSettings::default() };
    let mut all: Vec<(Box<dyn Strategy>, bool)> = Vec::new();
    for router in [true, false] {
        for (surge, unavailable, batch) in
            [(1, 0, None), (0, 1, None), (2, 1, None), (4, 0, None), (1, 0, Some(2))]
        {
            all.push((rolling(surge, unavailable, batch), router));
        }
        all.push((Box::new(Recreate::default()), router));
    }
    all.push((Box::new(BlueGreen::default()), true));
    all.push((Box::new(BlueGreen::new(green).unwrap()), true));
    all.push((Box::new(Canary::default()), true));
    all.push((Box::new(Canary::new(canary).unwrap()), true));
    all
}

#[test]
fn forward_ends_in_success() {
    for (strategy, router) in strategies() {
        for replicas in [1, 2, 4, 5] {
            let preview = run(&*strategy, replicas, router, None);
            assert_eq!(
                preview.outcome,
                Some(Outcome::Succeeded),
                "{strategy:?} router {router} {replicas}:\n{preview}"
            );
        }
    }
}

#[test]
fn an_abort_after_any_action_ends_on_the_old_release() {
    for (strategy, router) in strategies() {
        for replicas in [1, 2, 4] {
            let actions = run(&*strategy, replicas, router, None).actions().count();
            for failing in 0..actions {
                let preview = run(&*strategy, replicas, router, Some(failing));
                let fine = matches!(preview.outcome, Some(Outcome::Aborted { .. } | Outcome::Succeeded));
                assert!(fine, "{strategy:?} router {router} {replicas}, abort after {failing}:\n{preview}");
            }
        }
    }
}

#[test]
fn a_repair_of_a_whole_set_does_nothing() {
    let mut plan = plan(4, true);
    plan.release = release("v1");
    let mut seen = serving(4, true);
    seen.prepared = vec![(
        plan.release.id.clone(),
        Artifact { digest: Arc::from("one"), detail: serde_json::Value::Null },
    )];
    let state = RolloutState::begin(&plan, seen.now);
    let preview = preview(&Rolling::default(), &plan, &state, &seen, None);
    assert_eq!(preview.actions().count(), 0, "{preview}");
    assert_eq!(preview.outcome, Some(Outcome::Succeeded));
}

#[test]
fn rolling_of_four_is_four_batches() {
    let preview = run(&Rolling::default(), 4, true, None);
    let starts = preview.actions().flatten().filter(|c| c.to_string().starts_with("set v2 to")).count();
    assert_eq!(starts, 4, "{preview}");
}
