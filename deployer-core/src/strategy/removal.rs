//! Taking a workload down: nothing may serve, requests end, and then every set goes. It is the way back of what has
//! nothing to go back to.

use serde::{Deserialize, Serialize};

use super::{
    Budget, Decision, Situation, Strategy, WaitReason,
    interrupt::{clear_rotation, remove_sets},
};
use crate::{
    error::Problem,
    model::{Maintenance, RouterCapabilities, Split, TargetCapabilities},
};

/// What the traffic of a workload gets when nothing of it is left to serve.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Vacate {
    /// A maintenance page.
    Maintenance(Maintenance),
    /// Whatever the router does with an empty rotation: most often an error or a refused connection.
    EmptyRotation,
}

impl Default for Vacate {
    fn default() -> Self {
        Self::Maintenance(Maintenance::default())
    }
}

impl Vacate {
    fn split(&self) -> Split {
        match self {
            Self::Maintenance(page) => Split::Maintenance(page.clone()),
            Self::EmptyRotation => Split::EMPTY,
        }
    }
}

/// The next move, or `None` once nothing serves and nothing is left.
pub(super) fn take_down(s: &Situation<'_>, vacate: &Vacate) -> Option<Decision> {
    let all: Vec<_> = s.sets().iter().collect();
    clear_rotation(s, &all, vacate.split())
        .or_else(|| (!all.is_empty()).then(|| remove_sets(s, &all, "nothing of the workload is to be left")))
}

/// The strategy of a removal, which only ever goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removal;

impl Strategy for Removal {
    fn name(&self) -> &'static str {
        "removal"
    }

    fn check(&self, _: &TargetCapabilities, _: Option<&RouterCapabilities>) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    fn budget(&self, replicas: u32, _: &TargetCapabilities) -> Budget {
        Budget { min_available: 0, max_total: replicas, keeps_old: false }
    }

    fn decide(&self, s: &Situation<'_>) -> Decision {
        s.wait(WaitReason::Other { why: "a removal never goes forward".into() })
    }
}
