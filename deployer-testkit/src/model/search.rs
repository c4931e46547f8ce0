//! Breadth-first search over everything that can happen, fewest faults first.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    time::{Duration, Instant},
};

use deployer_core::strategy::{
    Command, Decision, Observation, Outcome, Phase, RolloutState, Strategy, Vacate, invariant,
};

use super::{
    effect,
    event::{Class, Event},
    expand::{self, Next},
    lab::Lab,
    liveness,
    memos::NOW,
    names::{self, SETS},
    nature::{self, Left},
    oracle::{self, Broken},
    scenario::{Scenario, Start},
    slot::{Flags, Life, Slot},
    trace,
    world::{Binding, NEVER, REQUESTS, Shape, World},
};

/// A broken promise and the shortest way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub oracle: &'static str,
    /// How it was broken.
    pub what: String,
    /// Every event and decision from the start, one line each.
    pub trace: Vec<String>,
    /// Distinct states that had been seen until then.
    pub after_states: u32,
}

/// What the search of one scenario found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Name of the strategy.
    pub strategy: &'static str,
    /// Strategy and settings.
    pub scenario: String,
    /// Distinct states.
    pub states: u32,
    /// Ways from one state to another.
    pub transitions: u64,
    /// How often each kind of end was reached.
    pub ends: BTreeMap<&'static str, u32>,
    /// How long it took.
    pub took: Duration,
    /// The first violation of each promise.
    pub violations: Vec<Violation>,
}

/// One state, and how it was first reached.
pub(super) struct Node {
    pub(super) world: World,
    pub(super) parent: u32,
    pub(super) event: Event,
    /// Numbers of faults and crashes from which it was reached, each as one bit.
    covered: u16,
}

/// The first violation of a promise, before its trace is written.
pub(super) struct Hit {
    pub(super) broken: Broken,
    pub(super) node: u32,
    pub(super) after_states: u32,
}

/// The graph so far.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Where each node's edges without a fault begin; in the order of `order`.
    pub(super) edges: Vec<(u32, u32)>,
    /// What follows each node if nothing gets better.
    pub(super) worst: Vec<u32>,
    /// Nodes with nothing after them that is worth a look: ends and violations.
    pub(super) closed: Vec<bool>,
    index: HashMap<u128, u32, BuildHasherDefault<Through>>,
    queues: Vec<VecDeque<(u32, u8, u8)>>,
    expanded: Vec<bool>,
    transitions: u64,
    ends: BTreeMap<&'static str, u32>,
    pub(super) hits: Vec<Hit>,
}

/// No node.
pub(super) const NOBODY: u32 = u32::MAX;

/// Searches all of a scenario, or until the first violation if `stop_early`.
pub(super) fn search(lab: &mut Lab<'_>, stop_early: bool) -> Found {
    let began = Instant::now();
    let (mut graph, complete) = explore(lab, stop_early);
    if complete {
        liveness::check(&mut graph);
    }
    report(lab, graph, began)
}

/// Visits every state; false if it stopped before.
fn explore(lab: &mut Lab<'_>, stop_early: bool) -> (Graph, bool) {
    let limits = lab.scenario.limits;
    let mut graph = Graph::default();
    graph.queues.resize_with(usize::from(limits.faults + limits.crashes) + 1, VecDeque::new);
    for mut world in beginnings(lab) {
        world.requests_left = limits.requests;
        graph.reach(lab, world, NOBODY, Event::Start, (0, 0));
    }
    for level in 0..graph.queues.len() {
        while let Some((node, faults, crashes)) = graph.queues[level].pop_front() {
            graph.visit(lab, node, (faults, crashes));
            if stop_early && !graph.hits.is_empty() {
                return (graph, false);
            }
            if graph.nodes.len() > limits.states as usize {
                graph.hit(Broken::new("bounded", format!("more than {} states", limits.states)), node);
                return (graph, false);
            }
        }
    }
    (graph, true)
}

fn report(lab: &mut Lab<'_>, mut graph: Graph, began: Instant) -> Found {
    let hits = std::mem::take(&mut graph.hits);
    let violations = hits
        .into_iter()
        .map(|hit| Violation {
            oracle: hit.broken.oracle,
            what: hit.broken.what,
            trace: trace::to(lab, &graph, hit.node),
            after_states: hit.after_states,
        })
        .collect();
    Found {
        strategy: strategy_name(&*lab.scenario.strategy),
        scenario: lab.scenario.name.clone(),
        states: u32::try_from(graph.nodes.len()).expect("node numbers are u32"),
        transitions: graph.transitions,
        ends: graph.ends,
        took: began.elapsed(),
        violations,
    }
}

impl Graph {
    fn hit(&mut self, broken: Broken, node: u32) {
        let after_states = u32::try_from(self.nodes.len()).expect("node numbers are u32");
        if !self.hits.iter().any(|hit| hit.broken.oracle == broken.oracle) {
            self.hits.push(Hit { broken, node, after_states });
        }
    }

    /// Notes a violation that was found when the graph was complete.
    pub(super) fn late_hit(&mut self, oracle: &'static str, what: &str, node: u32) {
        self.hit(Broken::new(oracle, what), node);
    }

    /// The number of a world; it is queued if it can now be reached with fewer faults or crashes than before.
    fn reach(&mut self, lab: &Lab<'_>, mut world: World, parent: u32, event: Event, used: (u8, u8)) -> u32 {
        nature::settle_ages(lab, &mut world);
        world.canonicalise(lab.scenario.symmetry);
        let next = u32::try_from(self.nodes.len()).expect("node numbers are u32");
        let number = *self.index.entry(world.key(lab.scenario.symmetry)).or_insert(next);
        if number == next {
            self.nodes.push(Node { world, parent, event, covered: 0 });
            self.expanded.push(false);
            self.closed.push(false);
            self.worst.push(NOBODY);
        }
        let node = &mut self.nodes[number as usize];
        let (faults, crashes) = used;
        if node.covered & 1 << (faults * 3 + crashes) == 0 {
            let dominated = (faults..3).flat_map(|f| (crashes..3).map(move |c| f * 3 + c));
            node.covered |= dominated.fold(0, |mask, bit| mask | 1 << bit);
            self.queues[usize::from(faults + crashes)].push_back((number, faults, crashes));
        }
        number
    }

    fn visit(&mut self, lab: &mut Lab<'_>, number: u32, used: (u8, u8)) {
        if self.closed[number as usize] {
            return;
        }
        let world = self.nodes[number as usize].world;
        let state = super::view::memory(lab, &world);
        let seen = super::view::observe(lab, &world);
        let decision = lab.decide(&state, &seen);
        let first = !std::mem::replace(&mut self.expanded[number as usize], true);
        if first {
            if let Decision::Finish(outcome) = &decision {
                *self.ends.entry(outcome_name(outcome)).or_default() += 1;
                self.closed[number as usize] = true;
            }
            if let Err(broken) = judge(lab, &world, &state, &seen, &decision) {
                self.hit(broken, number);
                self.closed[number as usize] = true;
            }
            if self.closed[number as usize] {
                return;
            }
        }
        let limits = lab.scenario.limits;
        let left = Left { fault: used.0 < limits.faults, crash: used.1 < limits.crashes };
        match expand::expand(lab, &world, &state, &decision, left) {
            Ok(all) => self.follow(lab, number, used, first, &decision, all),
            Err(what) => {
                self.hit(Broken::new("makes no sense", what), number);
                self.closed[number as usize] = true;
            }
        }
    }

    fn follow(
        &mut self,
        lab: &Lab<'_>,
        number: u32,
        used: (u8, u8),
        first: bool,
        decision: &Decision,
        all: Vec<Next>,
    ) {
        let mut worst = (u8::MAX, NOBODY);
        for Next { event, class, world } in all {
            let used = match class {
                Class::Fault => (used.0 + 1, used.1),
                Class::Crash => (used.0, used.1 + 1),
                _ => used,
            };
            let to = self.reach(lab, world, number, event, used);
            if !first {
                continue;
            }
            self.transitions += 1;
            if !matches!(class, Class::Fault | Class::Crash | Class::Request) {
                self.edges.push((number, to));
            }
            if let Some(rank) = rank_of(event, class).filter(|rank| *rank < worst.0) {
                worst = (rank, to);
            }
            if event == Event::Act && to == number {
                let what = "an act that changes nothing, for ever";
                self.hit(Broken::new("no effect", what), number);
                self.closed[number as usize] = true;
            }
        }
        if first {
            self.worst[number as usize] = worst.1;
            if worst.1 == NOBODY && !matches!(decision, Decision::Pause { .. }) {
                self.hit(Broken::new("no hang", "nothing can happen any more"), number);
                self.closed[number as usize] = true;
            }
            if matches!(decision, Decision::Pause { .. }) {
                self.worst[number as usize] = NOBODY;
            }
        }
    }
}

/// What happens if nothing gets better: decisions, what cannot fail to happen, gates that hold, and time.
fn rank_of(event: Event, class: Class) -> Option<u8> {
    match (class, event) {
        (Class::Decision, _) | (_, Event::Answer(3)) => Some(0),
        (Class::Forced, _) => Some(1),
        (Class::Time, _) => Some(2),
        _ => None,
    }
}

fn judge(
    lab: &mut Lab<'_>,
    world: &World,
    state: &RolloutState,
    seen: &Observation,
    decision: &Decision,
) -> Result<(), Broken> {
    if lab.decide(state, seen) != *decision {
        return Err(Broken::new("pure", "the same question has two answers"));
    }
    oracle::resume(world, state, decision)?;
    match decision {
        Decision::Act { commands, .. } => {
            oracle::act(lab, world, state, commands)?;
            runtime_check(lab, state, seen, commands)
        }
        Decision::Advance { state: new, .. } => oracle::advance(lab, world, state, new),
        Decision::Wait { until, why } if *until <= NOW => {
            Err(Broken::new("no hot loop", format!("waits until now: {why}")))
        }
        Decision::Finish(outcome) => oracle::finish(lab, world, state, outcome),
        _ => Ok(()),
    }
}

fn runtime_check(
    lab: &Lab<'_>,
    state: &RolloutState,
    seen: &Observation,
    commands: &[Command],
) -> Result<(), Broken> {
    if !lab.runtime {
        return Ok(());
    }
    invariant::check(&*lab.scenario.strategy, &lab.scenario.plan, state, seen, commands)
        .map_err(|violation| Broken::new("runtime invariant", violation.to_string()))
}

fn strategy_name(strategy: &dyn Strategy) -> &'static str {
    let known = ["rolling", "blue-green", "canary", "recreate", "delegated"];
    known.into_iter().find(|name| *name == strategy.name()).unwrap_or("custom")
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::RolledBack { .. } => "rolled back",
        Outcome::Aborted { .. } => "aborted",
        Outcome::Superseded { .. } => "superseded",
        Outcome::Stuck { .. } => "stuck",
        Outcome::Refused { .. } => "refused",
        _ => "other",
    }
}

/// The worlds in which a scenario begins.
fn beginnings(lab: &mut Lab<'_>) -> Vec<World> {
    let scenario: &Scenario = lab.scenario;
    let state = if scenario.removes {
        let artifact = names::pinned(scenario.candidate).artifact;
        RolloutState::removal(&scenario.plan, artifact, Vacate::default(), "no longer needed".to_owned(), NOW)
    } else {
        RolloutState::begin(&scenario.plan, NOW)
    };
    let memo = lab.memos.number(state);
    match &scenario.start {
        Start::Nothing => vec![World { memo, ..World::empty() }],
        Start::Whole => vec![World { memo, ..whole(lab) }],
        Start::HalfWay(worlds) => worlds.iter().map(|world| begin_anew(lab, world, memo)).collect(),
    }
}

/// The old set serves alone.
fn whole(lab: &Lab<'_>) -> World {
    let scenario = lab.scenario;
    let set = scenario.stable.unwrap_or(0);
    let replicas = u8::try_from(scenario.plan.replicas).expect("a few replicas");
    let mut world = World::empty();
    for id in 0..replicas {
        let (born, ready) = (lab.ticks.start_deadline, lab.ticks.min_ready);
        world.slots.push(Slot { life: Life::Ready, born, ready, ..Slot::starting(set, id) });
    }
    world.next_id[usize::from(set)] = replicas;
    if lab.routed() {
        world.slots.iter_mut().for_each(|slot| slot.set_flags(Flags::IN_SPLIT, true));
        let mut shares = [(0, 0); SETS];
        shares[0] = (set, u16::from(replicas));
        world.split = Shape { len: 1, shares, ..Shape::default() };
    }
    world
}

/// A world that another rollout left behind, as a new one finds it.
fn begin_anew(lab: &Lab<'_>, world: &World, memo: u32) -> World {
    let mut next = nature::watched_anew(&nature::crash(world));
    next.slots.iter_mut().for_each(|slot| slot.set_flags(Flags::COUNTED, false));
    World {
        memo,
        settle: Binding::None,
        drain: Binding::None,
        failed_gone: 0,
        requests: [0; REQUESTS],
        full: if effect::carries_all(world, lab.scenario.candidate) { 0 } else { NEVER },
        resumed: false,
        becoming: None,
        ..next
    }
}

/// Every world that a rollout can leave behind, up to what only its memory can tell apart.
pub(super) fn left_behind(lab: &mut Lab<'_>) -> Vec<(Phase, World)> {
    let graph = explore(lab, false).0;
    let mut seen = std::collections::HashSet::new();
    let mut worlds = Vec::new();
    for node in &graph.nodes {
        let phase = if lab.memos.get(node.world.memo).is_forward() {
            lab.memos.get(node.world.memo).phase
        } else {
            Phase::Preparing
        };
        let mut world = begin_anew(lab, &node.world, 0);
        nature::settle_ages(lab, &mut world);
        world.canonicalise(lab.scenario.symmetry);
        let is_final = phase == Phase::Retiring;
        if seen.insert((is_final, world.key(lab.scenario.symmetry))) {
            worlds.push((phase, world));
        }
    }
    worlds
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct Through(u64);

impl Hasher for Through {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("all keys are u128")
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}
