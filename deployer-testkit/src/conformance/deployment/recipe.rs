//! Strategies of the suite and what is done to their calls.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    error::{ErrorKind, Problems},
    model::{Amount, RouterCapabilities, TargetCapabilities},
    strategy::{BlueGreen, BlueGreenSettings, Delegated, Recreate, Rolling, RollingSettings, Strategy},
};

use crate::inject::{After, Before};

/// How long each strategy watches what it did.
const WATCH: Duration = Duration::from_millis(200);

/// A strategy of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rolling,
    BlueGreen,
    Recreate,
    Delegated,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Rolling, Self::BlueGreen, Self::Recreate, Self::Delegated];

    pub(super) fn strategy(self) -> Result<Arc<dyn Strategy>, Problems> {
        Ok(match self {
            Self::Rolling => Arc::new(Rolling::new(RollingSettings {
                surge: Amount::Count(1),
                max_unavailable: Amount::Count(0),
                settle_window: WATCH,
                ..RollingSettings::default()
            })?),
            Self::BlueGreen => {
                Arc::new(BlueGreen::new(BlueGreenSettings { bake: WATCH, ..BlueGreenSettings::default() })?)
            }
            Self::Recreate => Arc::new(Recreate::default()),
            Self::Delegated => Arc::new(Delegated::default()),
        })
    }

    /// Why it does not work with this backend, if it does not.
    pub(super) fn refusal(
        self,
        target: &TargetCapabilities,
        router: Option<&RouterCapabilities>,
    ) -> Option<String> {
        if target.delegates && self != Self::Delegated {
            return Some("`delegates`: the platform replaces one release by the next itself".to_owned());
        }
        let checked = self.strategy().and_then(|strategy| strategy.check(target, router).map_err(Problems));
        checked.err().map(|problems| problems.to_string())
    }
}

/// What is done to the calls of a deployment, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The call is not made and fails as one that may be made again.
    Failed,
    /// The call is made and its answer is lost.
    Lost,
}

impl Mode {
    pub(super) fn at_call(self) -> (Before, After) {
        match self {
            Self::Failed => (Before::Fail(ErrorKind::Unavailable), After::Answer),
            Self::Lost => (Before::Go, After::Lose),
        }
    }
}
