//! Blue-green: a whole second set, one switch, and the first one kept warm for a while.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Budget, Decision, Phase, Situation, Strategy, finale, gate, provision};
use crate::{
    error::{Problem, Problems},
    model::{Amount, AttachPoint, RouterCapabilities, TargetCapabilities, settings::seconds},
};

/// Settings of [`BlueGreen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlueGreenSettings {
    /// Size of the new set while it is checked; it always has full size before it gets traffic. Default 100 %.
    pub candidate: Amount,
    /// How long the old set is kept warm after the switch. Default 30 s (Argo Rollouts `scaleDownDelaySeconds`).
    #[serde(with = "seconds")]
    pub bake: Duration,
}

impl Default for BlueGreenSettings {
    fn default() -> Self {
        Self { candidate: Amount::Percent(crate::model::Percent::FULL), bake: Duration::from_secs(30) }
    }
}

/// A whole second set is started and checked, all traffic is switched to it at once, and the old set is kept whole
/// until the bake time ends, so that the way back is one switch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlueGreen {
    settings: BlueGreenSettings,
}

impl BlueGreen {
    /// Checks settings.
    ///
    /// # Errors
    /// The candidate has no instance.
    pub fn new(settings: BlueGreenSettings) -> Result<Self, Problems> {
        if settings.candidate.is_zero() {
            let message = "a candidate of zero instances cannot be checked; give it at least 1";
            return Err(Problems(vec![Problem::new("blue_green.candidate", message)]));
        }
        Ok(Self { settings })
    }

    /// The settings.
    pub fn settings(&self) -> &BlueGreenSettings {
        &self.settings
    }
}

/// What every strategy with two sets side by side needs.
pub(super) fn check_two_sets(
    name: &str,
    target: &TargetCapabilities,
    router: Option<&RouterCapabilities>,
) -> Vec<Problem> {
    let at = format!("strategy {name}");
    let mut problems = Vec::new();
    if router.is_none() {
        problems.push(Problem::new(
            &at,
            "it moves traffic and there is no router; give one, or use rolling or recreate",
        ));
    }
    if let Some(why) = &target.exclusive {
        problems.push(Problem::new(
            &at,
            format!("two sets cannot run side by side ({why}); use rolling or recreate"),
        ));
    }
    problems
}

impl Strategy for BlueGreen {
    fn name(&self) -> &'static str {
        "blue-green"
    }

    fn check(
        &self,
        target: &TargetCapabilities,
        router: Option<&RouterCapabilities>,
    ) -> Result<(), Vec<Problem>> {
        let problems = check_two_sets("blue-green", target, router);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn budget(&self, replicas: u32, _: &TargetCapabilities) -> Budget {
        Budget { min_available: replicas, max_total: replicas.saturating_mul(2), keeps_old: true }
    }

    fn decide(&self, s: &Situation<'_>) -> Decision {
        let n = s.replicas();
        let candidate = &s.state.candidate;
        match s.state.phase {
            Phase::Preparing | Phase::Provisioning => finale::clean(s)
                .or_else(|| {
                    provision::provision(s, candidate, self.settings.candidate.rounded_up(n).clamp(1, n))
                })
                .or_else(|| gate::pass(s, AttachPoint::BeforeTraffic, 0))
                .or_else(|| provision::provision(s, candidate, n))
                .unwrap_or_else(|| s.enter(Phase::Shifting, "the new set is verified: switch")),
            Phase::Shifting => finale::take_all_traffic(s, self.settings.bake),
            Phase::Baking => finale::bake(s),
            Phase::Retiring => finale::retire(s),
        }
    }
}
