//! Delegated: the platform replaces one release by the next itself; we judge, and go back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Budget, Command, Decision, Situation, Strategy, WaitReason, exchange::next_verification, finale,
};
use crate::{
    error::Problem,
    model::{RouterCapabilities, SetId, SetSpec, TargetCapabilities, settings::seconds},
};

/// Settings of [`Delegated`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelegatedSettings {
    /// How long to watch the new instances once all are replaced. Default 0 s.
    #[serde(with = "seconds")]
    pub bake: Duration,
}

/// The platform rolls (Kubernetes `RollingUpdate`, Swarm `service update`): `Apply` means "become this release". We
/// judge it by probes, gates and deadlines, and tell it to become the old release again. Capacity is the platform's
/// business: it is observed, not enforced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delegated {
    settings: DelegatedSettings,
}

impl Delegated {
    /// Any settings will do.
    pub fn new(settings: DelegatedSettings) -> Self {
        Self { settings }
    }
}

/// The next move until the platform has become `to`; `None` once it has.
pub(super) fn become_release(s: &Situation<'_>, to: &SetId) -> Option<Decision> {
    let tally = s.tally(to);
    let alone = s.sets().iter().all(|set| set.set == *to || set.instances.is_empty());
    let n = s.replicas();
    // The platform may still be about to follow what it was told last, so the world alone proves nothing.
    let wanted = SetSpec { set: to.clone(), replicas: n, remove_first: Vec::new() };
    if s.seen.accepted.as_ref() != Some(&wanted) {
        let why = "tell the platform which release it is to become".into();
        return Some(Decision::Act { commands: vec![Command::Apply(wanted)], why });
    }
    if alone && tally.size == n && tally.verified == n {
        return None;
    }
    let why = WaitReason::Verifying { set: to.clone(), verified: tally.verified, wanted: n };
    Some(s.wait_until(why, next_verification(s, to)))
}

impl Strategy for Delegated {
    fn name(&self) -> &'static str {
        "delegated"
    }

    fn check(
        &self,
        target: &TargetCapabilities,
        router: Option<&RouterCapabilities>,
    ) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        if !target.delegates {
            let message =
                "this target does not replace releases by itself; use rolling, blue-green or canary";
            problems.push(Problem::new("strategy delegated", message));
        }
        if router.is_some() {
            let message = "the platform moves the traffic itself; leave the router out";
            problems.push(Problem::new("strategy delegated", message));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn budget(&self, _: u32, _: &TargetCapabilities) -> Budget {
        Budget { min_available: 0, max_total: u32::MAX, keeps_old: false }
    }

    fn decide(&self, s: &Situation<'_>) -> Decision {
        if let Some(decision) = become_release(s, &s.state.candidate) {
            return decision;
        }
        finale::watch(s, self.settings.bake, "the platform has become the new release; watching it")
    }
}
