//! Recreate: all old instances down, then the new ones up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Budget, Decision, Situation, Strategy, finale, interrupt};
use crate::{
    error::Problem,
    model::{Maintenance, RouterCapabilities, TargetCapabilities, settings::seconds},
};

/// Settings of [`Recreate`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecreateSettings {
    /// What is answered during the interruption.
    pub maintenance: Maintenance,
    /// How long to watch the new instances before the deployment ends. Default 0 s.
    #[serde(with = "seconds")]
    pub bake: Duration,
}

/// All old instances go down, then the new ones come up: no two versions ever run side by side. **It interrupts the
/// service**, for as long as the old ones take to stop and the new ones to be verified, and is never chosen for you.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recreate {
    settings: RecreateSettings,
}

impl Recreate {
    /// Any settings will do.
    pub fn new(settings: RecreateSettings) -> Self {
        Self { settings }
    }

    /// The settings.
    pub fn settings(&self) -> &RecreateSettings {
        &self.settings
    }
}

impl Strategy for Recreate {
    fn name(&self) -> &'static str {
        "recreate"
    }

    fn check(&self, _: &TargetCapabilities, router: Option<&RouterCapabilities>) -> Result<(), Vec<Problem>> {
        if router.is_some_and(|router| !router.maintenance) {
            let message = "this router has no maintenance answer, so clients would see refused connections";
            return Err(vec![Problem::new("strategy recreate", message)]);
        }
        Ok(())
    }

    fn budget(&self, replicas: u32, _: &TargetCapabilities) -> Budget {
        Budget { min_available: 0, max_total: replicas, keeps_old: false }
    }

    fn decide(&self, s: &Situation<'_>) -> Decision {
        if let Some(decision) = interrupt::interrupt(s, &s.state.candidate, &self.settings.maintenance) {
            return decision;
        }
        finale::watch(s, self.settings.bake, "the new set serves; watching it")
    }
}
