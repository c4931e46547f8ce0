//! Strategies and releases by name, the same in this process and in its children.

use std::{sync::Arc, time::Duration};

use deployer::{
    model::{Amount, Percent},
    strategy::{
        BlueGreen, BlueGreenSettings, Canary, CanarySettings, CanaryStep, Recreate, Rolling, RollingSettings,
        StepPause, Strategy,
    },
};
use deployer_testkit::app::AppSettings;

/// Bake time and settle window.
const BAKE: Duration = Duration::from_millis(300);

/// How a release replaces the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rolling,
    RollingWithoutSurge,
    BlueGreen,
    Canary,
    Recreate,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Rolling, Self::RollingWithoutSurge, Self::BlueGreen, Self::Canary, Self::Recreate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::RollingWithoutSurge => "rolling-without-surge",
            Self::BlueGreen => "blue-green",
            Self::Canary => "canary",
            Self::Recreate => "recreate",
        }
    }

    pub(crate) fn strategy(self) -> Arc<dyn Strategy> {
        match self {
            Self::Rolling => rolling(1, 0),
            Self::RollingWithoutSurge => rolling(0, 1),
            Self::BlueGreen => {
                Arc::new(BlueGreen::new(BlueGreenSettings { bake: BAKE, ..Default::default() }).unwrap())
            }
            Self::Canary => {
                let steps = [10, 50].map(|weight| CanaryStep {
                    weight: Percent::new(weight).unwrap(),
                    instances: None,
                    pause: StepPause::For(Duration::from_millis(200)),
                });
                let settings = CanarySettings { steps: steps.to_vec(), bake: BAKE, ..Default::default() };
                Arc::new(Canary::new(settings).unwrap())
            }
            Self::Recreate => Arc::new(Recreate::default()),
        }
    }
}

fn rolling(surge: u32, max_unavailable: u32) -> Arc<dyn Strategy> {
    let settings = RollingSettings {
        surge: Amount::Count(surge),
        max_unavailable: Amount::Count(max_unavailable),
        settle_window: BAKE,
        ..Default::default()
    };
    Arc::new(Rolling::new(settings).unwrap())
}

/// A release that behaves well, but for its end: told to stop, it exits at once with whatever it is answering.
pub(crate) fn app(release: &str) -> AppSettings {
    let mut app = AppSettings::new(release, 0);
    app.start_delay = Duration::from_millis(50);
    // So that requests really are in flight.
    app.work = Duration::from_millis(20);
    app
}
