//! What one scenario is checked with.

use std::fmt;

use deployer_core::{
    model::SetId,
    strategy::{Budget, Decision, Observation, Plan, RolloutState, Strategy},
};

use super::{
    memos::Memos,
    names::{self, Names, SETS},
    scenario::{Scenario, Start, Ticks},
};

/// Who turns state and observation into a decision: the production step, or a planted bug around it.
pub trait Stepper: fmt::Debug + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// What to do next.
    fn step(
        &self,
        strategy: &dyn Strategy,
        plan: &Plan,
        state: &RolloutState,
        seen: &Observation,
    ) -> Decision;
}

/// [`deployer_core::strategy::step`] as it is.
#[derive(Debug, Clone, Copy)]
pub struct Production;

impl Stepper for Production {
    fn name(&self) -> &'static str {
        "production"
    }

    fn step(
        &self,
        strategy: &dyn Strategy,
        plan: &Plan,
        state: &RolloutState,
        seen: &Observation,
    ) -> Decision {
        deployer_core::strategy::step(strategy, plan, state, seen)
    }
}

/// A scenario, who decides, and the names and memories seen so far.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) stepper: &'a dyn Stepper,
    pub(super) names: Names,
    pub(super) sets: Vec<SetId>,
    pub(super) memos: Memos,
    pub(super) ticks: Ticks,
    /// Whether acts are shown to the runtime invariants too; our own promises do not depend on them.
    pub(super) runtime: bool,
}

impl<'a> Lab<'a> {
    pub(super) fn new(scenario: &'a Scenario, stepper: &'a dyn Stepper) -> Self {
        let mut memos = Memos::default();
        // Worlds that one scenario leaves to the next have these under the same numbers.
        memos.routes(&[]);
        memos.page(&deployer_core::model::Maintenance::default());
        let sets = (0..u8::try_from(SETS).expect("three")).map(names::set_id).collect();
        Self { scenario, stepper, names: Names::new(), sets, memos, ticks: scenario.ticks(), runtime: true }
    }

    /// Whether the router knows members by address.
    pub(super) fn by_address(&self) -> bool {
        self.scenario.plan.router.as_ref().is_some_and(|router| router.members)
    }

    /// Whether the router proves its switches.
    pub(super) fn proves(&self) -> bool {
        self.scenario.plan.router.as_ref().is_some_and(|router| router.proves)
    }

    /// Whether the router counts requests.
    pub(super) fn counts(&self) -> bool {
        self.scenario.plan.router.as_ref().is_some_and(|router| router.counts_in_flight)
    }

    /// Whether there is a router.
    pub(super) fn routed(&self) -> bool {
        self.scenario.plan.router.is_some()
    }

    /// Whether the new set is nowhere at the start.
    pub(super) fn starts_without_candidate(&self) -> bool {
        !matches!(self.scenario.start, Start::HalfWay(_))
    }

    /// How far actions may go.
    pub(super) fn budget(&self, state: &RolloutState) -> Budget {
        Budget::of(&*self.scenario.strategy, &self.scenario.plan, state)
    }

    /// What the stepper decides.
    pub(super) fn decide(&self, state: &RolloutState, seen: &Observation) -> Decision {
        self.stepper.step(&*self.scenario.strategy, &self.scenario.plan, state, seen)
    }
}
