//! What rollouts remember, each kept once and told apart by a number.

use std::collections::HashMap;

use deployer_core::{
    model::{Maintenance, Route, Timestamp},
    strategy::RolloutState,
};

use super::scenario::TICK;

/// The moment at which every checked state is: time passes by moving everything else back.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
/// How long ago a pause is remembered to have begun, in ticks.
const LONGEST_PAUSE: u8 = 8;

/// Numbered memories, routes and maintenance pages.
#[derive(Debug, Default)]
pub(super) struct Memos {
    states: Vec<RolloutState>,
    numbers: HashMap<Vec<u8>, u32>,
    aged: HashMap<(u32, u8), u32>,
    routes: Vec<Vec<Route>>,
    pages: Vec<Maintenance>,
}

impl Memos {
    /// The number of a memory whose names of instances and fingerprints were taken out.
    pub(super) fn number(&mut self, state: RolloutState) -> u32 {
        let key = serde_json::to_vec(&state).expect("a rollout state is plain data");
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.states.len()).expect("fewer memories than states");
        self.states.push(state);
        self.numbers.insert(key, number);
        number
    }

    /// The memory with this number.
    pub(super) fn get(&self, number: u32) -> &RolloutState {
        &self.states[number as usize]
    }

    /// The same memory `ticks` later.
    pub(super) fn later(&mut self, number: u32, ticks: u8, gate_deadline: u8) -> u32 {
        if let Some(aged) = self.aged.get(&(number, ticks)) {
            return *aged;
        }
        let mut state = self.get(number).clone();
        age(&mut state, ticks, gate_deadline);
        let aged = self.number(state);
        self.aged.insert((number, ticks), aged);
        aged
    }

    /// The number of some routes.
    pub(super) fn routes(&mut self, routes: &[Route]) -> u8 {
        intern(&mut self.routes, routes.to_vec())
    }

    /// Routes by number.
    pub(super) fn routes_of(&self, number: u8) -> &[Route] {
        &self.routes[usize::from(number)]
    }

    /// The number of a maintenance page.
    pub(super) fn page(&mut self, page: &Maintenance) -> u8 {
        intern(&mut self.pages, page.clone())
    }

    /// A maintenance page by number.
    pub(super) fn page_of(&self, number: u8) -> &Maintenance {
        &self.pages[usize::from(number)]
    }
}

/// Ticks until a moment; zero if it has passed.
pub(super) fn ticks_until(moment: Timestamp) -> u64 {
    moment.since(NOW).as_millis().div_ceil(TICK.as_millis()).try_into().unwrap_or(u64::MAX)
}

/// The moment some ticks ago.
pub(super) fn ago(ticks: u8) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - u64::from(ticks) * tick_millis())
}

/// The moment in some ticks.
pub(super) fn hence(ticks: u8) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + u64::from(ticks) * tick_millis())
}

fn tick_millis() -> u64 {
    u64::try_from(TICK.as_millis()).expect("a tick is a second")
}

fn intern<T: PartialEq>(all: &mut Vec<T>, one: T) -> u8 {
    let at = all.iter().position(|other| *other == one).unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    });
    u8::try_from(at).expect("a handful of routes")
}

/// Moves every moment of a memory back; what has passed stays at "now", as nothing may ask how long ago that was.
fn age(state: &mut RolloutState, ticks: u8, gate_deadline: u8) {
    let back = |moment: &mut Timestamp, floor: Timestamp| {
        let moved = moment.as_millis().saturating_sub(u64::from(ticks) * tick_millis());
        *moment = Timestamp::from_millis(moved.max(floor.as_millis()));
    };
    // All fields are named: who adds a moment has to think of it here.
    let RolloutState {
        direction: _,
        phase: _,
        replicas: _,
        largest: _,
        stable: _,
        candidate: _,
        artifact: _,
        step: _,
        reached: _,
        progress_until,
        settle,
        drain,
        bake_until,
        descent,
        failed: _,
        gates,
        paused_since,
        promoted: _,
        promoted_fully: _,
        last_request: _,
        last_posted: _,
        vacate: _,
        memory: _,
    } = state;
    // The clock that stands still does not pass.
    if *progress_until < Timestamp::from_millis(u64::MAX) {
        back(progress_until, NOW);
    }
    for timer in [settle, drain].into_iter().flatten() {
        back(&mut timer.until, NOW);
    }
    if let Some(until) = bake_until {
        back(until, NOW);
    }
    if let Some((_, until)) = descent {
        back(until, NOW);
    }
    for record in gates {
        back(&mut record.since, ago(gate_deadline));
    }
    if let Some(since) = paused_since {
        back(since, ago(LONGEST_PAUSE));
    }
}
