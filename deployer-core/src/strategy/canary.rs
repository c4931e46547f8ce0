//! Canary: the new release gets a growing share of the traffic, and is judged at each step.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Budget, Decision, PauseReason, Phase, Situation, Strategy, WaitReason, blue_green, finale, gate,
    invariant, provision, traffic,
};
use crate::{
    error::{Problem, Problems},
    model::{
        Amount, AttachPoint, Percent, Route, RouteMatch, RouterCapabilities, SetId, TargetCapabilities,
        settings::seconds,
    },
};

/// How long a step lasts at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepPause {
    /// Until its gates have passed.
    #[default]
    None,
    /// This long, in seconds, and until its gates have passed.
    For(#[serde(with = "seconds")] Duration),
    /// Until a person promotes it, and its gates have passed.
    UntilPromoted,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryStep {
    /// Share of the traffic.
    pub weight: Percent,
    /// Number of new instances. Default: enough for the weight.
    #[serde(default)]
    pub instances: Option<Amount>,
    /// How long it lasts at least.
    #[serde(default)]
    pub pause: StepPause,
}

/// Settings of [`Canary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CanarySettings {
    /// The steps before full traffic, weights rising. Default 10 %, 25 %, 50 %, each for 60 s (Flagger `interval`).
    pub steps: Vec<CanaryStep>,
    /// How long the old set is kept warm at full traffic. Default 30 s.
    #[serde(with = "seconds")]
    pub bake: Duration,
    /// Requests that reach the new set from the first step on whatever its weight: for testers.
    pub routes: Vec<RouteMatch>,
}

impl Default for CanarySettings {
    fn default() -> Self {
        let pause = StepPause::For(Duration::from_secs(60));
        let step =
            |weight| CanaryStep { weight: Percent::new(weight).unwrap_or_default(), instances: None, pause };
        Self { steps: [10, 25, 50].map(step).to_vec(), bake: Duration::from_secs(30), routes: Vec::new() }
    }
}

/// The new release gets a growing share of the traffic and is judged at each step. The old set stays whole until the
/// bake time at full traffic ends, so that the way back is one switch at any time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Canary {
    settings: CanarySettings,
}

impl Canary {
    /// Checks settings.
    ///
    /// # Errors
    /// All problems at once: weights that do not rise, a step without instances, hostile header or cookie names.
    pub fn new(settings: CanarySettings) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut last = None;
        for (index, step) in settings.steps.iter().enumerate() {
            let at = format!("canary.steps[{index}]");
            if last.is_some_and(|last| step.weight <= last) {
                let message = format!("weight {} does not rise above that of the step before", step.weight);
                problems.push(Problem::new(&at, message));
            }
            if step.weight.get() == 0 && settings.routes.is_empty() {
                problems.push(Problem::new(&at, "a step of weight 0 without routes reaches nobody"));
            }
            if step.instances.is_some_and(Amount::is_zero) {
                problems.push(Problem::new(&at, "a step needs at least one instance"));
            }
            last = Some(step.weight);
        }
        problems.extend(settings.routes.iter().enumerate().filter_map(|(index, route)| {
            hostile(route).map(|why| Problem::new(format!("canary.routes[{index}]"), why))
        }));
        if problems.is_empty() { Ok(Self { settings }) } else { Err(Problems(problems)) }
    }

    /// The settings.
    pub fn settings(&self) -> &CanarySettings {
        &self.settings
    }

    /// Index of full traffic: the step after the last.
    fn last(&self) -> u32 {
        u32::try_from(self.settings.steps.len()).unwrap_or(u32::MAX)
    }

    fn step<'s>(&'s self, s: &Situation<'_>) -> Option<&'s CanaryStep> {
        self.settings.steps.get(s.state.step as usize)
    }

    fn instances(step: &CanaryStep, n: u32) -> u32 {
        let carries = step.weight.of_rounded_up(n).max(1);
        step.instances.map_or(carries, |amount| amount.rounded_up(n)).max(carries).min(n)
    }

    fn routes(&self, s: &Situation<'_>) -> Vec<Route> {
        let route = |matches: &RouteMatch| Route { matches: matches.clone(), set: s.state.candidate.clone() };
        self.settings.routes.iter().map(route).collect()
    }

    /// Straight to full traffic: nothing to compare with, a known release, or a person said so.
    fn skips_steps(s: &Situation<'_>) -> bool {
        let serving = s.state.stable.as_ref().is_some_and(|stable| s.tally(stable).in_rotation > 0);
        s.plan.returning || s.state.promoted_fully || !serving
    }

    fn provision(&self, s: &Situation<'_>) -> Decision {
        if let Some(decision) = finale::clean(s) {
            return decision;
        }
        let Some(step) = self.step(s) else {
            return provision::provision(s, &s.state.candidate, s.replicas())
                .or_else(|| Self::first_traffic(s))
                .unwrap_or_else(|| s.enter(Phase::Shifting, "the new set is whole: give it all traffic"));
        };
        if Self::skips_steps(s) {
            return s.progress("steps are skipped", |state| state.step = self.last());
        }
        provision::provision(s, &s.state.candidate, Self::instances(step, s.replicas()))
            .or_else(|| Self::first_traffic(s))
            .unwrap_or_else(|| s.enter(Phase::Shifting, "the new set can carry the next weight"))
    }

    /// Gates before the first request, asked once.
    fn first_traffic(s: &Situation<'_>) -> Option<Decision> {
        let serves = s.traffic().is_some_and(|t| t.split.share(&s.state.candidate).is_some());
        if serves { None } else { gate::pass(s, AttachPoint::BeforeTraffic, 0) }
    }

    fn weigh(&self, s: &Situation<'_>, step: &CanaryStep, why: &'static str) -> Option<Decision> {
        let stable = s.state.stable.as_ref()?;
        let rest = Self::carried(s, stable, 100 - u32::from(step.weight.get()));
        let weights = [(stable, rest), (&s.state.candidate, 100 - rest)];
        let weights = if rest == 0 { &weights[1..] } else { &weights[..] };
        traffic::serve(s, weights, &self.routes(s), why)
    }

    /// How many of so many parts of a hundred the old set can carry: one that lost instances before gets no larger share
    /// than it has, or than they can serve.
    fn carried(s: &Situation<'_>, stable: &SetId, parts: u32) -> u32 {
        let verified = s.tally(stable).verified;
        let Some(traffic) = s.traffic() else { return parts };
        if invariant::overload(s, stable, (u64::from(parts), 100), verified).is_none() {
            return parts;
        }
        let share = traffic.split.share(stable).map_or(0, |share| u64::from(share.weight));
        let present = share * 100 / traffic.split.total_weight().max(1);
        let able = u64::from(verified) * 100 / u64::from(s.replicas().max(1));
        u32::try_from(present.max(able)).map_or(parts, |most| parts.min(most))
    }

    fn shift(&self, s: &Situation<'_>, step: &CanaryStep) -> Decision {
        provision::provision(s, &s.state.candidate, Self::instances(step, s.replicas()))
            .or_else(|| self.weigh(s, step, "the new release gets its share"))
            .or_else(|| traffic::proven(s))
            .unwrap_or_else(|| {
                let pause = match step.pause {
                    StepPause::For(pause) => pause,
                    StepPause::None | StepPause::UntilPromoted => Duration::ZERO,
                };
                s.bake(pause, "the step's weight is proven; judge it")
            })
    }

    fn judge(&self, s: &Situation<'_>, step: &CanaryStep) -> Decision {
        let index = s.state.step;
        if s.state.promoted_fully {
            return s.progress("promoted fully", |state| {
                state.step = self.last();
                state.phase = Phase::Provisioning;
            });
        }
        let provision = || provision::provision(s, &s.state.candidate, Self::instances(step, s.replicas()));
        let weigh = match self.weigh(s, step, "members changed") {
            // Nobody can serve: that is the more reason to start somebody.
            Some(wait @ Decision::Wait { .. }) => Some(provision().unwrap_or(wait)),
            weigh => weigh.or_else(provision),
        };
        weigh
            .or_else(|| gate::pass(s, AttachPoint::EachStep, index))
            .or_else(|| s.wait_for_bake(WaitReason::BetweenSteps))
            .or_else(|| {
                let promoted = s.state.promoted == Some(index) || step.pause != StepPause::UntilPromoted;
                (!promoted).then(|| s.pause(PauseReason::AwaitingPromotion { step: index }))
            })
            .unwrap_or_else(|| {
                s.progress("the step is passed", |state| {
                    state.step = index + 1;
                    state.phase = Phase::Provisioning;
                })
            })
    }
}

/// What must not get into a config file.
fn hostile(route: &RouteMatch) -> Option<String> {
    let (RouteMatch::Header { name, value } | RouteMatch::Cookie { name, value }) = route;
    let token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
        return Some(format!("name {name:?}: use 1 to 64 of [A-Za-z0-9_-]"));
    }
    let plain = |b: u8| token(b) || matches!(b, b'.' | b'~' | b'=' | b'/' | b':');
    if value.is_empty() || value.len() > 128 || !value.bytes().all(plain) {
        return Some(format!("value {value:?}: use 1 to 128 of [A-Za-z0-9_.~=/:-]"));
    }
    None
}

impl Strategy for Canary {
    fn name(&self) -> &'static str {
        "canary"
    }

    fn check(
        &self,
        target: &TargetCapabilities,
        router: Option<&RouterCapabilities>,
    ) -> Result<(), Vec<Problem>> {
        let mut problems = blue_green::check_two_sets("canary", target, router);
        if router.is_some_and(|router| !router.weights) {
            problems.push(Problem::new(
                "strategy canary",
                "this router knows no weights; use blue-green or rolling",
            ));
        }
        let is_header = |route: &RouteMatch| matches!(route, RouteMatch::Header { .. });
        if router.is_some_and(|router| !router.header_routes) && self.settings.routes.iter().any(is_header) {
            problems.push(Problem::new("canary.routes", "this router cannot route by header"));
        }
        if router.is_some_and(|router| !router.cookie_routes) && !self.settings.routes.iter().all(is_header) {
            problems.push(Problem::new("canary.routes", "this router cannot route by cookie"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn budget(&self, replicas: u32, _: &TargetCapabilities) -> Budget {
        Budget { min_available: replicas, max_total: replicas.saturating_mul(2), keeps_old: true }
    }

    fn decide(&self, s: &Situation<'_>) -> Decision {
        match (s.state.phase, self.step(s)) {
            (Phase::Preparing | Phase::Provisioning, _) => self.provision(s),
            (Phase::Shifting, Some(step)) => self.shift(s, step),
            (Phase::Shifting, None) => finale::take_all_traffic(s, self.settings.bake),
            (Phase::Baking, Some(step)) => self.judge(s, step),
            (Phase::Baking, None) => finale::bake(s),
            (Phase::Retiring, _) => finale::retire(s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(weight: u64) -> CanaryStep {
        CanaryStep { weight: Percent::new(weight).unwrap(), instances: None, pause: StepPause::None }
    }

    #[test]
    fn weights_must_rise_and_routes_must_be_harmless() {
        let settings = CanarySettings {
            steps: vec![step(25), step(25), step(10)],
            routes: vec![RouteMatch::Header { name: "x;y".into(), value: "${".into() }],
            ..CanarySettings::default()
        };
        let Problems(problems) = Canary::new(settings).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(serde_json::from_str::<CanarySettings>(r#"{"steps":[{"weight":101}]}"#).is_err());
    }

    #[test]
    fn a_step_has_instances_enough_for_its_weight() {
        assert_eq!(Canary::instances(&step(10), 4), 1);
        assert_eq!(Canary::instances(&step(51), 4), 3);
        let few = CanaryStep { instances: Some(Amount::Count(1)), ..step(51) };
        assert_eq!(Canary::instances(&few, 4), 3, "fewer than the weight needs would be overloaded");
        let all = CanaryStep { instances: Some(Amount::percent(100).unwrap()), ..step(10) };
        assert_eq!(Canary::instances(&all, 4), 4);
    }
}
