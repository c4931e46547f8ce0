//! Every strategy with every sensible setting, small enough to be searched completely.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    model::{
        Amount, AttachPoint, GateBinding, GateId, Percent, RolloutSettings, RouterCapabilities, WayBack,
    },
    strategy::{
        BlueGreen, BlueGreenSettings, Canary, CanarySettings, CanaryStep, Delegated, DelegatedSettings,
        Phase, Recreate, RecreateSettings, Rolling, RollingSettings, StepPause, Strategy,
    },
};

use super::{
    lab::{Lab, Production},
    names,
    scenario::{
        Detail, Limits, Promise, Scenario, Start, TICK, plan, proving_router, settings, silent_router,
    },
    search,
    world::World,
};

/// How much may go wrong in the scenarios of the catalog.
pub(super) const FULL: Limits = Limits { faults: 2, crashes: 2, requests: 1, states: 3_000_000 };

/// A router of each kind, and none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Router {
    Proves,
    Silent,
    None,
}

impl Router {
    fn capabilities(self) -> Option<RouterCapabilities> {
        match self {
            Self::Proves => Some(proving_router()),
            Self::Silent => Some(silent_router()),
            Self::None => None,
        }
    }
}

/// The start of a description of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) replicas: u32,
    pub(super) router: Router,
    pub(super) settings: RolloutSettings,
    pub(super) gates: Vec<GateBinding>,
    pub(super) limits: Limits,
    pub(super) start: Start,
    pub(super) detail: Detail,
    pub(super) symmetry: bool,
    pub(super) note: String,
}

impl Case {
    /// `replicas` instances behind a router, and the settings of every check.
    pub(super) fn new(replicas: u32, router: Router) -> Self {
        Self {
            replicas,
            router,
            settings: settings(),
            gates: Vec::new(),
            limits: FULL,
            start: Start::Whole,
            detail: Detail::Fine,
            symmetry: true,
            note: String::new(),
        }
    }

    /// With these limits.
    pub(super) fn limits(mut self, faults: u8, crashes: u8, requests: u8) -> Self {
        self.limits = Limits { faults, crashes, requests, ..self.limits };
        self
    }

    /// With less detail.
    pub(super) fn core(mut self) -> Self {
        self.detail = Detail::Core;
        self.note += ", core";
        self
    }

    /// With instances that are told apart by name, whatever else is equal.
    pub(super) fn by_name(mut self) -> Self {
        self.symmetry = false;
        self.note += ", by name";
        self
    }

    /// With a gate at a point.
    pub(super) fn gate(mut self, at: AttachPoint) -> Self {
        let gate = GateId::new(format!("gate{}", self.gates.len())).expect("letters and a digit make a name");
        self.note = format!("{}, gate {at:?}", self.note);
        self.gates.push(GateBinding { gate, at });
        self
    }

    /// With other settings.
    pub(super) fn with(mut self, note: &str, change: impl FnOnce(&mut RolloutSettings)) -> Self {
        change(&mut self.settings);
        self.note = format!("{}, {note}", self.note);
        self
    }

    /// As nothing was ever deployed.
    pub(super) fn first(mut self) -> Self {
        self.start = Start::Nothing;
        self.note += ", first release";
        self
    }

    /// A scenario of this case.
    pub(super) fn scenario(self, what: &str, strategy: Arc<dyn Strategy>, promise: Promise) -> Scenario {
        let first = matches!(self.start, Start::Nothing);
        let mut plan = plan(self.replicas, self.settings, self.router.capabilities(), self.gates);
        if first {
            plan.stable = None;
            plan.stable_set = None;
        }
        let Limits { faults, crashes, requests, .. } = self.limits;
        let name = format!(
            "{what}, {} instances, router {:?}{}, {faults} faults, {crashes} crashes, {requests} requests",
            self.replicas, self.router, self.note
        );
        Scenario {
            name,
            strategy,
            promise,
            plan,
            stable: (!first).then_some(0),
            candidate: 1,
            removes: false,
            start: self.start,
            scales: vec![self.replicas + 1, self.replicas.saturating_sub(1).max(1)],
            limits: self.limits,
            symmetry: self.symmetry,
            detail: self.detail,
        }
    }

    /// Rolling.
    pub(super) fn rolling(self, surge: u32, unavailable: u32, batch: Option<u32>) -> Scenario {
        let strategy = Rolling::new(RollingSettings {
            surge: Amount::Count(surge),
            max_unavailable: Amount::Count(unavailable),
            batch: batch.map(Amount::Count),
            pause: if batch.is_some() { TICK } else { Duration::ZERO },
            settle_window: TICK,
        });
        let strategy = strategy.expect("one of the two is not zero");
        let batch = batch.map_or_else(String::new, |batch| format!(" by {batch}"));
        let what = format!("rolling {surge}/{unavailable}{batch}");
        self.scenario(&what, Arc::new(strategy), Promise::Capacity)
    }

    /// Blue-green.
    pub(super) fn blue_green(self, candidate: u64) -> Scenario {
        let settings =
            BlueGreenSettings { candidate: Amount::percent(candidate).expect("at most 100"), bake: TICK * 2 };
        let strategy = BlueGreen::new(settings).expect("at least one instance");
        self.scenario(&format!("blue-green {candidate}%"), Arc::new(strategy), Promise::KeepsOld { bake: 2 })
    }

    /// Canary.
    pub(super) fn canary(self, weights: &[u64], pause: StepPause) -> Scenario {
        let step = |weight: &u64| CanaryStep {
            weight: Percent::new(*weight).expect("at most 100"),
            instances: None,
            pause,
        };
        let settings =
            CanarySettings { steps: weights.iter().map(step).collect(), bake: TICK * 2, routes: Vec::new() };
        let strategy = Canary::new(settings).expect("weights rise");
        let pause = match pause {
            StepPause::None => "",
            StepPause::For(_) => " with pauses",
            StepPause::UntilPromoted => " by hand",
        };
        let what = format!("canary {weights:?}{pause}");
        self.scenario(&what, Arc::new(strategy), Promise::KeepsOld { bake: 2 })
    }

    /// Recreate.
    pub(super) fn recreate(self) -> Scenario {
        let strategy = Recreate::new(RecreateSettings { bake: TICK, ..RecreateSettings::default() });
        self.scenario("recreate", Arc::new(strategy), Promise::Recreates)
    }
}

impl Case {
    /// A release that is whole and serves is taken down, with nothing in its place.
    pub(super) fn removal(self) -> Scenario {
        let mut scenario = self.recreate();
        scenario.name = scenario.name.replacen("recreate", "removal", 1);
        scenario.removes = true;
        (scenario.stable, scenario.candidate) = (None, 0);
        scenario.plan.release = names::release(0);
        (scenario.plan.stable, scenario.plan.stable_set) = (None, None);
        scenario
    }

    /// The platform replaces releases by itself.
    pub(super) fn delegated(self) -> Scenario {
        let strategy = Delegated::new(DelegatedSettings { bake: TICK });
        let mut scenario = self.scenario("delegated", Arc::new(strategy), Promise::Delegates);
        scenario.plan.target.delegates = true;
        scenario
    }
}

/// The same strategy started on every world that a rollout of it can leave behind: another release, the same one
/// again, or the old one again.
pub(super) fn superseding(base: &Scenario) -> Vec<Scenario> {
    let left = search::left_behind(&mut Lab::new(base, &Production));
    let of = |is_final: bool| -> Vec<World> {
        let of = left.iter().filter(|(phase, _)| (*phase == Phase::Retiring) == is_final);
        of.map(|(_, world)| *world).collect()
    };
    let (half, last) = (of(false), of(true));
    let next = |what: &str, stable: u8, candidate: u8, worlds: &[World]| {
        let mut scenario = base.clone();
        scenario.name = format!("{what} from {} worlds left by {}", worlds.len(), base.name);
        scenario.stable = Some(stable);
        scenario.candidate = candidate;
        scenario.plan.stable = Some(names::pinned(stable));
        scenario.plan.stable_set = Some(names::set_id(stable));
        scenario.plan.release = names::release(candidate);
        scenario.start = Start::HalfWay(worlds.to_vec());
        scenario.limits = Limits { requests: 0, ..base.limits };
        scenario
    };
    let mut all = vec![
        next("a third release", 0, 2, &half),
        next("the same release again", 0, 1, &half),
        next("the old release again", 0, 0, &half),
    ];
    if !last.is_empty() {
        all.push(next("a third release", 1, 2, &last));
    }
    all
}

/// A rollout that begins wherever a removal was when its process died.
fn after_half_a_removal(removal: &Scenario, mut next: Scenario) -> Scenario {
    let left = search::left_behind(&mut Lab::new(removal, &Production));
    let worlds: Vec<World> = left.into_iter().map(|(_, world)| world).collect();
    next.name = format!("{} from {} worlds left by {}", next.name, worlds.len(), removal.name);
    next.start = Start::HalfWay(worlds);
    next
}

/// Taking a workload down, and putting a release live in the middle of that.
fn removals() -> Vec<Scenario> {
    let mut all = Vec::new();
    for router in [Router::Proves, Router::Silent, Router::None] {
        all.push(Case::new(1, router).limits(2, 2, 0).removal());
        all.push(Case::new(2, router).limits(2, 2, 0).removal());
        all.push(Case::new(4, router).limits(1, 1, 0).core().removal());
        let case = || Case::new(2, router).limits(1, 0, 0).core();
        let removal = case().removal();
        all.push(after_half_a_removal(&removal, case().rolling(1, 0, None)));
        all.push(after_half_a_removal(&removal, case().recreate()));
        if router != Router::None {
            all.push(after_half_a_removal(&removal, case().blue_green(100)));
            all.push(after_half_a_removal(&removal, case().canary(&[50], StepPause::None)));
        }
    }
    all
}

/// Lets a share of the new instances fail.
pub(super) fn tolerant(settings: &mut RolloutSettings) {
    settings.failure_ratio = Percent::new(50).expect("at most 100");
}

/// Brings traffic back in steps.
pub(super) fn gradual(settings: &mut RolloutSettings) {
    settings.way_back = WayBack::Gradual { step: Percent::new(50).expect("at most 100"), every: TICK };
}

/// An instance must be ready for a while.
pub(super) fn patient(settings: &mut RolloutSettings) {
    settings.min_ready = TICK;
}

/// All of them.
pub(super) fn all() -> Vec<Scenario> {
    let mut all = two_instances();
    all.extend(settings_of_all());
    all.extend(four_instances());
    all.extend(half_way());
    all.extend(removals());
    all
}

/// Everything that can go wrong, with one and two instances.
fn two_instances() -> Vec<Scenario> {
    let mut all = Vec::new();
    for router in [Router::Proves, Router::Silent, Router::None] {
        let two = || Case::new(2, router);
        let cases = [
            Case::new(1, router).limits(2, 2, 0),
            two().limits(1, 1, 0),
            two().limits(2, 2, 0).core(),
            two().limits(1, 1, 0).core().by_name(),
        ];
        for case in cases {
            all.push(case.clone().rolling(1, 0, None));
            all.push(case.clone().rolling(0, 1, None));
            all.push(case.clone().recreate());
            if router != Router::None {
                all.push(case.clone().blue_green(100));
                all.push(case.canary(&[50], StepPause::None));
            }
        }
    }
    all
}

/// Every sensible setting, with two and three instances.
fn settings_of_all() -> Vec<Scenario> {
    let case = || Case::new(2, Router::Proves).limits(1, 1, 0).core();
    let silent = || Case::new(2, Router::Silent).limits(1, 1, 0).core();
    let asked = || Case::new(2, Router::Silent).limits(1, 0, 1).core();
    let pause = StepPause::For(TICK);
    let mut all = vec![
        case().rolling(1, 1, None),
        case().rolling(2, 0, None),
        case().rolling(2, 1, None),
        case().rolling(1, 0, Some(1)),
        Case::new(3, Router::Silent).limits(1, 1, 0).core().rolling(3, 0, Some(2)),
        case().with("half may fail", tolerant).rolling(1, 0, None),
        case().with("min ready", patient).rolling(1, 0, None),
        silent().with("half may fail", tolerant).blue_green(100),
        silent().with("half may fail", tolerant).canary(&[50], pause),
        silent().with("min ready", patient).canary(&[50], pause),
        silent().with("min ready", patient).blue_green(100),
        case().blue_green(50),
        case().canary(&[50, 100], pause),
        Case::new(4, Router::Silent).limits(1, 1, 0).core().canary(&[25, 50, 100], pause),
        silent().canary(&[50], StepPause::UntilPromoted),
        silent().with("gradual way back", gradual).canary(&[50], pause),
        silent().with("gradual way back", gradual).blue_green(100),
    ];
    for router in [Router::Proves, Router::Silent, Router::None] {
        let first = || Case::new(2, router).limits(1, 1, 0).core().first();
        all.push(first().rolling(1, 0, None));
        all.push(first().recreate());
        if router != Router::None {
            all.push(first().blue_green(100));
            all.push(first().canary(&[50], StepPause::None));
        }
    }
    for at in [AttachPoint::BeforeTraffic, AttachPoint::EachStep, AttachPoint::FullTraffic, AttachPoint::Bake]
    {
        all.push(silent().gate(at).rolling(1, 0, Some(1)));
        all.push(silent().gate(at).blue_green(100));
        all.push(silent().gate(at).canary(&[50], pause));
        all.push(silent().gate(at).recreate());
    }
    all.push(asked().rolling(1, 0, Some(1)));
    all.push(asked().blue_green(100));
    all.push(asked().blue_green(50));
    all.push(asked().canary(&[50], StepPause::UntilPromoted));
    all.push(asked().canary(&[50], pause));
    all.push(asked().recreate());
    all.push(Case::new(2, Router::None).limits(1, 0, 1).core().rolling(1, 0, Some(1)));
    all.push(Case::new(1, Router::None).limits(1, 1, 1).delegated());
    all.push(Case::new(2, Router::None).limits(1, 1, 0).core().delegated());
    all.push(Case::new(2, Router::None).limits(0, 1, 1).core().delegated());
    all
}

/// Fleets of three and four.
fn four_instances() -> Vec<Scenario> {
    let mut all = Vec::new();
    for replicas in [3, 4] {
        for router in [Router::Proves, Router::Silent, Router::None] {
            let case = || Case::new(replicas, router).limits(1, 1, 0).core();
            // Many instances that enter and leave at once multiply with a router that proves: fewer faults there.
            let many =
                |surge| if router == Router::Proves && surge > 1 { case().limits(1, 0, 0) } else { case() };
            for (surge, unavailable) in [(1, 0), (0, 1), (1, 1), (2, 0), (replicas, 0)] {
                all.push(many(surge).rolling(surge, unavailable, None));
            }
            all.push(case().recreate());
            if router != Router::None {
                all.push(case().blue_green(100));
                all.push(case().blue_green(50));
                all.push(case().canary(&[50], StepPause::None));
            }
        }
    }
    for (replicas, router) in [(3, Router::Proves), (4, Router::Silent), (4, Router::None)] {
        let case = || Case::new(replicas, router).limits(2, 2, 0).core();
        all.push(case().rolling(1, 0, None));
        all.push(case().recreate());
        if router != Router::None {
            all.push(case().blue_green(100));
            all.push(case().canary(&[50], StepPause::None));
        }
    }
    all
}

/// A newer deployment takes over wherever another one was.
fn half_way() -> Vec<Scenario> {
    let mut bases = Vec::new();
    for router in [Router::Proves, Router::Silent, Router::None] {
        let case = || Case::new(2, router).limits(1, 0, 0).core();
        bases.push(case().rolling(1, 0, None));
        bases.push(case().recreate());
        if router != Router::None {
            bases.push(case().blue_green(100));
            bases.push(case().canary(&[50], StepPause::None));
        }
    }
    bases.iter().flat_map(superseding).collect()
}
