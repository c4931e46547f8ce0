//! What is checked: a strategy with settings, where it starts, and what may go wrong.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    model::{GateBinding, RolloutSettings, RouterCapabilities, TargetCapabilities},
    strategy::{Plan, Strategy},
};

use super::{names, world::World};

/// One unit of the checked time. All durations of a scenario are whole ticks.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// How much may go wrong in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failed calls, dying instances, unreachable backends.
    pub faults: u8,
    /// Crashes of the deployer.
    pub crashes: u8,
    /// Requests that nobody asked for: abort, pause, promote, scale.
    pub requests: u8,
    /// Distinct states after which a scenario is given up, which fails the run.
    pub states: u32,
}

/// How closely a scenario is looked at. Less detail makes room for more instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Everything that can go wrong, at any moment, and every order of deadlines.
    Fine,
    /// Failed and half-done calls, dying instances, an unreachable target; at any moment but between a decision to
    /// remember and its record; time passes from one look of the driver to the next.
    Core,
}

/// Which promises a strategy makes beyond those that all make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Capacity stays within the budget.
    Capacity,
    /// The old set stays whole until the new one is final.
    KeepsOld {
        /// Ticks that the new set must have had all traffic.
        bake: u8,
    },
    /// Nothing serves for a while, behind a maintenance page.
    Recreates,
    /// The platform replaces instances; we watch.
    Delegates,
}

/// How the rollout finds the world.
#[derive(Debug, Clone)]
pub(super) enum Start {
    /// The old set is whole and serves alone.
    Whole,
    /// Nothing was ever deployed.
    Nothing,
    /// Wherever another rollout was, by the name of its scenario.
    HalfWay(Vec<World>),
}

/// What is checked.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    /// Strategy and settings in words.
    pub(super) name: String,
    /// Who decides.
    pub(super) strategy: Arc<dyn Strategy>,
    /// What it promises.
    pub(super) promise: Promise,
    /// What is deployed over what.
    pub(super) plan: Plan,
    /// Number of the old set.
    pub(super) stable: Option<u8>,
    /// Number of the new set.
    pub(super) candidate: u8,
    /// It takes the workload down.
    pub(super) removes: bool,
    /// How it starts.
    pub(super) start: Start,
    /// Sizes that a person may ask for.
    pub(super) scales: Vec<u32>,
    /// How much may go wrong.
    pub(super) limits: Limits,
    /// Instances of a set that differ by name only are the same.
    pub(super) symmetry: bool,
    /// How closely it is looked at.
    pub(super) detail: Detail,
}

/// Durations of a scenario in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticks {
    pub(super) min_ready: u8,
    pub(super) start_deadline: u8,
    pub(super) drain: u8,
    pub(super) settle: u8,
    pub(super) gate_deadline: u8,
    pub(super) bake: u8,
}

impl Scenario {
    /// Its durations in ticks.
    pub(super) fn ticks(&self) -> Ticks {
        let settings = &self.plan.settings;
        Ticks {
            min_ready: ticks(settings.min_ready),
            start_deadline: ticks(settings.start_deadline),
            drain: ticks(settings.drain),
            settle: ticks(settings.settle),
            gate_deadline: ticks(settings.gate_deadline),
            bake: if let Promise::KeepsOld { bake } = self.promise { bake } else { 0 },
        }
    }
}

/// A duration in whole ticks.
pub(super) fn ticks(duration: Duration) -> u8 {
    u8::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u8::MAX - 1)
}

/// Settings with short durations that are all different in effect.
pub(super) fn settings() -> RolloutSettings {
    RolloutSettings {
        min_ready: Duration::ZERO,
        start_deadline: 3 * TICK,
        progress_deadline: 6 * TICK,
        drain: 2 * TICK,
        settle: TICK,
        gate_deadline: 3 * TICK,
        ..RolloutSettings::default()
    }
}

/// A target that can do what the strategies ask for.
pub(super) fn target() -> TargetCapabilities {
    TargetCapabilities {
        pins_victims: true,
        admits_itself: false,
        delegates: false,
        grows_adopted: true,
        exclusive: None,
        fences: true,
        stop_grace: 2 * TICK,
    }
}

/// A router that can do everything.
pub(super) fn proving_router() -> RouterCapabilities {
    RouterCapabilities {
        weights: true,
        header_routes: true,
        cookie_routes: true,
        maintenance: true,
        members: true,
        proves: true,
        counts_in_flight: true,
        fences: true,
    }
}

/// A router that can neither prove a switch nor count requests.
pub(super) fn silent_router() -> RouterCapabilities {
    RouterCapabilities { proves: false, counts_in_flight: false, ..proving_router() }
}

/// A rollout of set 1 over set 0.
pub(super) fn plan(
    replicas: u32,
    settings: RolloutSettings,
    router: Option<RouterCapabilities>,
    gates: Vec<GateBinding>,
) -> Plan {
    Plan {
        workload: names::workload(),
        release: names::release(1),
        pinned: None,
        stable: Some(names::pinned(0)),
        stable_set: Some(names::set_id(0)),
        replicas,
        settings,
        gates,
        target: target(),
        router,
        returning: false,
    }
}
