//! Every built-in strategy, previewed forward and back, within its own invariants.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fmt::Write as _, sync::Arc, time::Duration};

use deployer_core::{
    model::{
        Amount, Artifact, AttachPoint, GateBinding, GateId, InFlight, InstanceId, InstancePhase, Member,
        Percent, PinnedRelease, Proof, Release, ReleaseId, RolloutSettings, RouterCapabilities, SetId, Share,
        Split, TargetCapabilities, Timestamp, WayBack, WorkloadId,
    },
    strategy::{
        BlueGreen, BlueGreenSettings, Canary, CanarySettings, CanaryStep, Delegated, InstanceSeen,
        Observation, Outcome, Plan, Preview, Recreate, Rolling, RollingSettings, RolloutState, Seen, SetSeen,
        StepPause, Strategy, TrafficSeen, preview,
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
            hidden: 0,
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

/// Plans that differ from the plain one in one thing each.
fn variants() -> Vec<(&'static str, Plan)> {
    let plain = || plan(3, true);
    let with = |change: fn(&mut Plan)| {
        let mut other = plain();
        change(&mut other);
        other
    };
    let gate = |plan: &mut Plan, at| {
        let gate = GateId::new("gate").unwrap();
        plan.gates.push(GateBinding { gate, at });
    };
    let mut all = vec![
        ("plain", plain()),
        ("without a router", plan(3, false)),
        ("a router that proves nothing", with(|plan| plan.router.as_mut().unwrap().proves = false)),
        ("a router of whole sets", with(|plan| plan.router.as_mut().unwrap().members = false)),
        ("a router that counts nothing", with(|plan| plan.router.as_mut().unwrap().counts_in_flight = false)),
        ("a target that admits by itself", with(|plan| plan.target.admits_itself = true)),
        ("a target that delegates", with(|plan| (plan.target.delegates, plan.router) = (true, None))),
        ("one set at a time", with(|plan| plan.target.exclusive = Some("a port".into()))),
        ("ready for a minute", with(|plan| plan.settings.min_ready = Duration::from_secs(60))),
        ("back at once", with(|plan| plan.returning = true)),
        ("the first release", with(|plan| (plan.stable, plan.stable_set) = (None, None))),
    ];
    for at in [AttachPoint::BeforeTraffic, AttachPoint::EachStep, AttachPoint::FullTraffic, AttachPoint::Bake]
    {
        let mut gated = plain();
        gate(&mut gated, at);
        all.push(("with a gate", gated));
    }
    let mut gradual = plain();
    let (step, every) = (Percent::new(40).unwrap(), Duration::from_secs(3));
    gradual.settings.way_back = WayBack::Gradual { step, every };
    all.push(("a gradual way back", gradual));
    all
}

/// What every strategy does, action by action, with its reasons. A change of a strategy shows here: look at it, and
/// write it down by running this with `WRITE_DOWN=1`.
#[test]
fn every_strategy_does_what_is_written_down() {
    let mut text = String::new();
    let mut all: Vec<Box<dyn Strategy>> =
        strategies().into_iter().filter(|(_, router)| *router).map(|(strategy, _)| strategy).collect();
    all.push(Box::new(Delegated::default()));
    for strategy in all {
        for (what, plan) in variants() {
            if strategy.check(&plan.target, plan.router.as_ref()).is_err() {
                continue;
            }
            let mut seen = serving(3, plan.router.is_some());
            if plan.stable.is_none() {
                seen.sets = Seen::Known(Vec::new());
                seen.traffic = seen.traffic.map(|_| {
                    let (split, proof) = (Split::EMPTY, Proof::Proven { generation: 0 });
                    let fingerprint = Observation::fingerprint_of(&split);
                    Seen::Known(TrafficSeen { split, fingerprint, proof, stale_members: 0 })
                });
            }
            let state = RolloutState::begin(&plan, seen.now);
            let forward = preview(&*strategy, &plan, &state, &seen, None);
            let half = forward.actions().count() / 2;
            let back = preview(&*strategy, &plan, &state, &seen, Some(half));
            writeln!(text, "# {strategy:?}, {what}\n{forward}\n## aborted after {half} actions\n{back}")
                .unwrap();
        }
    }
    let written = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/preview.txt");
    if std::env::var_os("WRITE_DOWN").is_some() {
        std::fs::write(&written, &text).unwrap();
    }
    let before = std::fs::read_to_string(&written).unwrap();
    let changed = text.lines().zip(before.lines()).position(|(now, before)| now != before);
    if let Some(line) = changed {
        let around =
            |text: &str| text.lines().skip(line.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n");
        panic!(
            "line {} of {} changed from\n{}\nto\n{}",
            line + 1,
            written.display(),
            around(&before),
            around(&text)
        );
    }
    assert_eq!(text.lines().count(), before.lines().count(), "the end of {} changed", written.display());
}
