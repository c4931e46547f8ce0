//! Situations to decide on: sets of instances that work, from v1 to v2.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::time::Duration;

use deployer_core::{
    model::{
        Artifact, InFlight, InstanceId, InstancePhase, Member, PinnedRelease, Proof, Release, ReleaseId,
        RolloutSettings, RouterCapabilities, SetId, Share, Split, TargetCapabilities, Timestamp, WorkloadId,
    },
    strategy::{
        Command, Decision, InstanceSeen, Observation, Phase, Plan, RolloutState, Seen, SetSeen, Strategy,
        TrafficSeen, invariant, step,
    },
};

pub(crate) const REPLICAS: u32 = 3;
pub(crate) const NOW: Timestamp = Timestamp::from_millis(100_000);

pub(crate) fn release(id: &str) -> PinnedRelease {
    let release = Release {
        id: ReleaseId::new(id).unwrap(),
        artifact: id.to_owned(),
        config: serde_json::Value::Null,
        secrets: Vec::new(),
    };
    let artifact = Artifact { digest: id.into(), detail: serde_json::Value::Null };
    PinnedRelease { release, artifact }
}

/// From v1 to v2.
pub(crate) fn plan() -> Plan {
    Plan {
        workload: WorkloadId::new("web").unwrap(),
        release: release("v2").release,
        pinned: None,
        stable: Some(release("v1")),
        stable_set: Some(SetId::new("v1").unwrap()),
        replicas: REPLICAS,
        settings: RolloutSettings { min_ready: Duration::ZERO, ..RolloutSettings::default() },
        gates: Vec::new(),
        target: TargetCapabilities {
            pins_victims: true,
            admits_itself: false,
            delegates: false,
            grows_adopted: true,
            exclusive: None,
            fences: true,
            stop_grace: Duration::from_secs(10),
        },
        router: Some(RouterCapabilities {
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

/// Prepared, and bringing up v2.
pub(crate) fn state(plan: &Plan) -> RolloutState {
    let mut state = RolloutState::begin(plan, Timestamp::from_millis(90_000));
    state.phase = Phase::Provisioning;
    state.artifact = Some(release("v2").artifact);
    state.largest = REPLICAS;
    state
}

/// Sets of instances that work; of each so many, and the first so many of these get requests with this weight.
pub(crate) fn seen(sets: &[(&str, u32, u32, u32)]) -> Observation {
    let id = |set: &str, n: u32| InstanceId::new(format!("{set}-{n}")).unwrap();
    let instance = |set: &str, n: u32, routed: u32| InstanceSeen {
        id: id(set, n),
        address: None,
        phase: InstancePhase::Running { ready: None },
        started_at: Timestamp::from_millis(1000),
        restarts: 0,
        ready_since: Some(Timestamp::from_millis(2000)),
        has_fallen: false,
        judged: true,
        trouble: "".into(),
        digest: set.into(),
        in_rotation: n < routed,
        in_flight: InFlight::Known(0),
        unknown: false,
    };
    let set = |(set, count, routed, _): &(&str, u32, u32, u32)| SetSeen {
        hidden: 0,
        set: SetId::new(*set).unwrap(),
        instances: (0..*count).map(|n| instance(set, n, *routed)).collect(),
    };
    let share = |(set, _, routed, weight): &(&str, u32, u32, u32)| Share {
        set: SetId::new(*set).unwrap(),
        weight: *weight,
        members: (0..*routed).map(|n| Member { instance: id(set, n), address: None }).collect(),
    };
    let shares = sets.iter().filter(|(_, _, routed, _)| *routed > 0).map(share).collect();
    let split = Split::Serve { shares, routes: Vec::new() };
    let traffic = TrafficSeen {
        fingerprint: Observation::fingerprint_of(&split),
        stale_members: 0,
        split,
        proof: Proof::Proven { generation: 1 },
    };
    Observation {
        now: NOW,
        sets: Seen::Known(sets.iter().map(set).collect()),
        unknown_places: Vec::new(),
        traffic: Some(Seen::Known(traffic)),
        prepared: Vec::new(),
        accepted: None,
        gates: Vec::new(),
        requests: Vec::new(),
        refused: None,
    }
}

/// Decides until something else than remembering is decided.
pub(crate) fn decide(
    strategy: &dyn Strategy,
    plan: &Plan,
    mut state: RolloutState,
    seen: &Observation,
) -> Decision {
    for _ in 0..20 {
        match step(strategy, plan, &state, seen) {
            Decision::Advance { state: next, .. } => state = *next,
            Decision::Act { commands, why } => {
                let checked = invariant::check(strategy, plan, &state, seen, &commands);
                assert!(checked.is_ok(), "{commands:?} for {why:?}: {checked:?}");
                return Decision::Act { commands, why };
            }
            other => return other,
        }
    }
    panic!("it remembers more and more: {state:?}")
}

pub(crate) fn split_of(decision: &Decision) -> Option<&Split> {
    let Decision::Act { commands, .. } = decision else { return None };
    commands.iter().find_map(|command| match command {
        Command::Shift(split) => Some(split),
        _ => None,
    })
}

pub(crate) fn members(split: &Split, set: &str) -> Vec<String> {
    let share = split.share(&SetId::new(set).unwrap());
    share.map_or_else(Vec::new, |share| {
        share.members.iter().map(|member| member.instance.to_string()).collect()
    })
}

/// The state of this instance is no more what it should be: it was restarted, or a probe says so.
pub(crate) fn falls(seen: &mut Observation, id: &str) {
    let Seen::Known(sets) = &mut seen.sets else { panic!("the sets are known") };
    let instances = sets.iter_mut().flat_map(|set| &mut set.instances);
    let instance = instances.into_iter().find(|i| i.id.as_str() == id).unwrap();
    instance.ready_since = None;
}
