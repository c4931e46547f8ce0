//! Rolling: new instances take the place of old ones, a few at a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Budget, Decision, Phase, Situation, Strategy, WaitReason,
    exchange::{Exchange, exchange},
    finale,
};
use crate::{
    error::{Problem, Problems},
    model::{Amount, RouterCapabilities, TargetCapabilities, settings::seconds},
};

/// Settings of [`Rolling`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RollingSettings {
    /// How many instances may exist beyond the replicas; a percentage is rounded up. Default 25 %.
    pub surge: Amount,
    /// How many replicas may be unavailable; a percentage is rounded down. Default 0 (Kubernetes: 25 %; here no
    /// capacity is lost unless asked for).
    pub max_unavailable: Amount,
    /// How many instances are replaced before the rollout pauses. Default: no pause.
    pub batch: Option<Amount>,
    /// How long to pause between batches. Default 0 s.
    #[serde(with = "seconds")]
    pub pause: Duration,
    /// How long to watch once all are replaced, with the way back open. Default 5 s (Swarm `monitor`).
    #[serde(with = "seconds")]
    pub settle_window: Duration,
}

impl Default for RollingSettings {
    fn default() -> Self {
        Self {
            surge: Amount::Percent(crate::model::Percent::new(25).unwrap_or_default()),
            max_unavailable: Amount::Count(0),
            batch: None,
            pause: Duration::ZERO,
            settle_window: Duration::from_secs(5),
        }
    }
}

/// New instances take the place of old ones, a few at a time: each enters rotation once verified, and as many old
/// ones leave it, end their requests, and stop. Both versions serve meanwhile.
///
/// Where a fixed port or a volume keeps two instances apart
/// ([`TargetCapabilities::exclusive`]) it stops old ones first, whatever the surge says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rolling {
    settings: RollingSettings,
}

impl Rolling {
    /// Checks settings.
    ///
    /// # Errors
    /// All problems at once: both budgets zero, a percentage above 100, an empty batch.
    pub fn new(settings: RollingSettings) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        if settings.surge.is_zero() && settings.max_unavailable.is_zero() {
            let message = "surge and max_unavailable are both zero, so nothing could ever move; give one of them at least 1";
            problems.push(Problem::new("rolling", message));
        }
        if settings.batch.is_some_and(Amount::is_zero) {
            problems.push(Problem::new(
                "rolling.batch",
                "a batch of zero instances never ends; leave it out for one batch",
            ));
        }
        if problems.is_empty() { Ok(Self { settings }) } else { Err(Problems(problems)) }
    }

    /// The settings.
    pub fn settings(&self) -> &RollingSettings {
        &self.settings
    }

    /// How many new instances the present batch ends with.
    fn goal(&self, s: &Situation<'_>) -> u32 {
        let n = s.replicas();
        match self.settings.batch {
            _ if s.state.promoted_fully || s.plan.returning => n,
            // Those that serve already, of a rollout before, stay: a batch takes nobody out. Without a router all that
            // run may serve.
            Some(batch) => {
                let tally = s.tally(&s.state.candidate);
                let serving = if s.has_router() { tally.in_rotation } else { tally.size };
                s.state.step.max(batch.rounded_up(n).max(1)).max(serving).min(n)
            }
            None => n,
        }
    }

    fn roll(&self, s: &Situation<'_>) -> Decision {
        if let Some(decision) = s.wait_for_bake(WaitReason::BetweenSteps) {
            return decision;
        }
        let (n, goal) = (s.replicas(), self.goal(s));
        if let Some(decision) = exchange(s, Exchange { to: &s.state.candidate, goal, spare: None }) {
            return decision;
        }
        let now = s.now();
        if goal >= n {
            let bake = if s.plan.returning { Duration::ZERO } else { self.settings.settle_window };
            return s.bake(bake, "all instances are replaced; watching them");
        }
        let batch = self.settings.batch.map_or(n, |batch| batch.rounded_up(n).max(1));
        let deadline = now.after(self.settings.pause).after(s.plan.settings.progress_deadline);
        s.advance("a batch is replaced", |state| {
            state.step = goal.saturating_add(batch).min(n);
            state.bake_until = Some(now.after(self.settings.pause));
            state.progress_until = deadline;
        })
    }
}

impl Strategy for Rolling {
    fn name(&self) -> &'static str {
        "rolling"
    }

    fn check(
        &self,
        target: &TargetCapabilities,
        router: Option<&RouterCapabilities>,
    ) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        if !target.pins_victims {
            let message = "this target cannot say which instance goes when a set shrinks, so one that still serves could; \
                           use blue-green, or delegated where the platform rolls by itself";
            problems.push(Problem::new("strategy rolling", message));
        }
        if router.is_some_and(|router| !router.members && !target.admits_itself) {
            let message = "this router cannot take single instances out of rotation; use blue-green";
            problems.push(Problem::new("strategy rolling", message));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn budget(&self, replicas: u32, target: &TargetCapabilities) -> Budget {
        let mut surge = self.settings.surge.rounded_up(replicas);
        let mut unavailable = self.settings.max_unavailable.rounded_down(replicas).min(replicas);
        if target.exclusive.is_some() {
            surge = 0;
        }
        if surge == 0 {
            unavailable = unavailable.max(1);
        }
        Budget {
            min_available: replicas.saturating_sub(unavailable),
            max_total: replicas.saturating_add(surge),
            keeps_old: false,
        }
    }

    fn decide(&self, s: &Situation<'_>) -> Decision {
        if s.state.phase == Phase::Provisioning {
            return self.roll(s);
        }
        exchange(s, Exchange { to: &s.state.candidate, goal: s.replicas(), spare: None })
            .unwrap_or_else(|| finale::watch(s, self.settings.settle_window, "watching what was replaced"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_budgets_zero_are_refused_with_all_other_problems() {
        let settings = RollingSettings {
            surge: Amount::Count(0),
            max_unavailable: Amount::percent(0).unwrap(),
            batch: Some(Amount::Count(0)),
            ..RollingSettings::default()
        };
        let Problems(problems) = Rolling::new(settings).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn unknown_fields_and_percentages_above_100_are_refused() {
        for text in [r#"{"surge":"101%"}"#, r#"{"surgee":1}"#, r#"{"pause":-1}"#] {
            assert!(serde_json::from_str::<RollingSettings>(text).is_err(), "{text} was accepted");
        }
    }
}
