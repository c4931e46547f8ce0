//! How fast decisions are: every decision of a whole rolling update, recorded once and decided again and again,
//! invariant checks included.

use std::{
    collections::HashSet,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use deployer_core::{
    model::{
        Artifact, InFlight, InstanceId, InstancePhase, Member, PinnedRelease, Proof, Release, ReleaseId,
        RolloutSettings, RouterCapabilities, SetId, SetSpec, Share, Split, TargetCapabilities, Timestamp,
        WorkloadId,
    },
    strategy::{
        Command, Decision, InstanceSeen, Observation, Plan, Rolling, RolloutState, Seen, SetSeen, Strategy,
        TrafficSeen, invariant, step,
    },
};
use serde::Serialize;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Decisions {
    /// Instances of the rollout.
    pub instances: u32,
    /// Decisions of the recorded rollout.
    pub recorded: usize,
    /// Decisions in a second, over the mix.
    pub per_second: f64,
    /// The slowest single one, the best of three rounds.
    pub worst: Duration,
}

/// Records a whole rolling update of so many instances and decides it again for about a second.
pub(crate) fn measure(instances: u32) -> Result<Decisions, String> {
    let strategy = Rolling::default();
    let plan = plan(instances)?;
    let mix = record(&strategy, &plan)?;
    let mut total = 0u32;
    let mut worst = Duration::MAX;
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < 3 || start.elapsed() < Duration::from_secs(1) {
        let slowest =
            if instances > 100 { slowest(&strategy, &plan, &mix) } else { once(&strategy, &plan, &mix) };
        worst = worst.min(slowest);
        total += u32::try_from(mix.len()).unwrap_or(u32::MAX);
        rounds += 1;
    }
    let per_second = f64::from(total) / start.elapsed().as_secs_f64();
    Ok(Decisions { instances, recorded: mix.len(), per_second, worst })
}

type Recorded = (RolloutState, Observation);

/// Without a clock read around each decision: that would cost more than the decision.
fn once(strategy: &dyn Strategy, plan: &Plan, mix: &[Recorded]) -> Duration {
    let start = Instant::now();
    for (state, seen) in mix {
        decide(strategy, plan, state, seen);
    }
    start.elapsed() / u32::try_from(mix.len()).unwrap_or(1)
}

fn slowest(strategy: &dyn Strategy, plan: &Plan, mix: &[Recorded]) -> Duration {
    let time = |(state, seen): &Recorded| {
        let start = Instant::now();
        decide(strategy, plan, state, seen);
        start.elapsed()
    };
    mix.iter().map(time).max().unwrap_or_default()
}

fn decide(strategy: &dyn Strategy, plan: &Plan, state: &RolloutState, seen: &Observation) {
    let decision = step(strategy, plan, state, seen);
    if let Decision::Act { commands, .. } = &decision {
        black_box(invariant::check(strategy, plan, state, seen, commands)).unwrap_or_else(|violation| {
            panic!("a recorded decision breaks an invariant: {violation}");
        });
    }
    black_box(&decision);
}

fn record(strategy: &dyn Strategy, plan: &Plan) -> Result<Vec<Recorded>, String> {
    let mut world = World::new(plan.replicas)?;
    let mut state = RolloutState::begin(plan, world.seen.now);
    let mut mix = Vec::new();
    for _ in 0..10_000 {
        mix.push((state.clone(), world.seen.clone()));
        match step(strategy, plan, &state, &world.seen) {
            Decision::Advance { state: next, .. } => state = *next,
            Decision::Act { commands, .. } => {
                commands.iter().try_for_each(|command| world.carry_out(command))?;
            }
            Decision::Wait { until, .. } => world.pass(until),
            Decision::Finish(_) => return Ok(mix),
            Decision::Pause { why } => return Err(format!("the rollout paused: {why}")),
            other => return Err(format!("unexpected decision {other:?}")),
        }
    }
    Err("the rollout did not end".to_owned())
}

/// A world in which instances become ready one look after the other.
struct World {
    seen: Observation,
    born: u32,
}

impl World {
    fn new(replicas: u32) -> Result<Self, String> {
        let set = SetId::new("v1").map_err(|e| e.to_string())?;
        let mut instances = Vec::new();
        for number in 0..replicas {
            instances.push(InstanceSeen { in_rotation: true, ..instance(&set, number, "one")? });
        }
        let members = instances
            .iter()
            .map(|i| Member { instance: i.id.clone(), address: i.address })
            .collect::<Vec<_>>();
        let split = Split::Serve {
            shares: vec![Share { set: set.clone(), weight: replicas, members }],
            routes: Vec::new(),
        };
        let traffic = TrafficSeen {
            fingerprint: Observation::fingerprint_of(&split),
            split,
            proof: Proof::Proven { generation: 1 },
            stale_members: 0,
        };
        let seen = Observation {
            now: Timestamp::from_millis(1_000_000),
            sets: Seen::Known(vec![SetSeen { set, instances, hidden: 0 }]),
            unknown_places: Vec::new(),
            traffic: Some(Seen::Known(traffic)),
            prepared: Vec::new(),
            accepted: None,
            gates: Vec::new(),
            requests: Vec::new(),
            refused: None,
        };
        Ok(Self { seen, born: 0 })
    }

    fn sets(&mut self) -> &mut Vec<SetSeen> {
        match &mut self.seen.sets {
            Seen::Known(sets) => sets,
            Seen::Unknown { .. } => unreachable!("this world is always known"),
        }
    }

    fn pass(&mut self, until: Timestamp) {
        let now = self.seen.now;
        let starting = |i: &&mut InstanceSeen| i.ready_since.is_none();
        let many = self.sets().iter().map(|set| set.instances.len()).sum::<usize>() > 100;
        let mut moved = false;
        for instance in self.sets().iter_mut().flat_map(|set| &mut set.instances).filter(starting) {
            instance.phase = InstancePhase::Running { ready: None };
            instance.ready_since = Some(now);
            moved = true;
            if !many {
                break;
            }
        }
        if !moved {
            self.seen.now = until;
        }
    }

    fn carry_out(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Prepare(release) => self.seen.prepared.push((release.clone(), artifact("two"))),
            Command::Apply(spec) => return self.resize(spec),
            Command::Remove(set) => self.sets().retain(|seen| seen.set != *set),
            Command::Shift(split) => self.shift(split.clone()),
            other => return Err(format!("unexpected command {other}")),
        }
        Ok(())
    }

    fn resize(&mut self, spec: &SetSpec) -> Result<(), String> {
        let first = self.born;
        let sets = self.sets();
        if !sets.iter().any(|set| set.set == spec.set) {
            sets.push(SetSeen { set: spec.set.clone(), instances: Vec::new(), hidden: 0 });
        }
        let gone: HashSet<_> = spec.remove_first.iter().collect();
        let Some(set) = sets.iter_mut().find(|set| set.set == spec.set) else { return Ok(()) };
        set.instances.retain(|instance| !gone.contains(&instance.id));
        let size = u32::try_from(set.instances.len()).unwrap_or(u32::MAX);
        for number in first..first + spec.replicas.saturating_sub(size) {
            let born = instance(&spec.set, number, "two")?;
            set.instances.push(InstanceSeen { phase: InstancePhase::Starting, ready_since: None, ..born });
        }
        self.born += spec.replicas.saturating_sub(size);
        Ok(())
    }

    fn shift(&mut self, split: Split) {
        for set in self.sets() {
            let members = split.share(&set.set).map_or(&[][..], |share| &share.members);
            let members: HashSet<_> = members.iter().map(|member| &member.instance).collect();
            for instance in &mut set.instances {
                instance.in_rotation = members.contains(&instance.id);
            }
        }
        if let Some(Seen::Known(traffic)) = &mut self.seen.traffic {
            traffic.fingerprint = Observation::fingerprint_of(&split);
            traffic.split = split;
        }
    }
}

fn instance(set: &SetId, number: u32, digest: &str) -> Result<InstanceSeen, String> {
    let port = u16::try_from(10_000 + number % 50_000).unwrap_or(10_000);
    Ok(InstanceSeen {
        id: InstanceId::new(format!("{set}-{number:06}")).map_err(|e| e.to_string())?,
        address: Some(([127, 0, 0, 1], port).into()),
        phase: InstancePhase::Running { ready: None },
        started_at: Timestamp::from_millis(1_000_000),
        restarts: 0,
        ready_since: Some(Timestamp::from_millis(1)),
        has_fallen: false,
        judged: true,
        trouble: Arc::from(""),
        digest: Arc::from(digest),
        in_rotation: false,
        in_flight: InFlight::Known(0),
        unknown: false,
    })
}

fn artifact(digest: &str) -> Artifact {
    Artifact { digest: Arc::from(digest), detail: serde_json::Value::Null }
}

fn plan(replicas: u32) -> Result<Plan, String> {
    let release = |name: &str| {
        let id = ReleaseId::new(name).map_err(|e| e.to_string())?;
        Ok::<_, String>(Release {
            id,
            artifact: "app".into(),
            config: serde_json::Value::Null,
            secrets: Vec::new(),
        })
    };
    Ok(Plan {
        workload: WorkloadId::new("web").map_err(|e| e.to_string())?,
        release: release("v2")?,
        pinned: None,
        stable: Some(PinnedRelease { release: release("v1")?, artifact: artifact("one") }),
        stable_set: Some(SetId::new("v1").map_err(|e| e.to_string())?),
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
    })
}
