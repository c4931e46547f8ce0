//! Strategies in the sizes that scenarios speak of.

use std::{sync::Arc, time::Duration};

use deployer::{
    model::{Amount, Percent},
    strategy::{
        BlueGreen, BlueGreenSettings, Canary, CanarySettings, CanaryStep, Recreate, Rolling, RollingSettings,
        StepPause, Strategy,
    },
};

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn rolling(surge: u32, max_unavailable: u32) -> Rolling {
    crate::stand::rolling(surge, max_unavailable)
}

/// Rolling with a surge of one that replaces `batch` instances and then pauses.
pub(crate) fn pausing(batch: Amount, pause: u64) -> Rolling {
    let settings = RollingSettings {
        surge: Amount::Count(1),
        batch: Some(batch),
        pause: seconds(pause),
        ..RollingSettings::default()
    };
    Rolling::new(settings).unwrap()
}

/// Blue-green with a whole second set and the default bake time.
pub(crate) fn blue_green() -> BlueGreen {
    BlueGreen::default()
}

/// Blue-green that keeps the old set warm for so many seconds.
pub(crate) fn baking(bake: u64) -> BlueGreen {
    BlueGreen::new(BlueGreenSettings { bake: seconds(bake), ..BlueGreenSettings::default() }).unwrap()
}

pub(crate) fn step(weight: u64, instances: Option<u32>, pause: StepPause) -> CanaryStep {
    CanaryStep { weight: Percent::new(weight).unwrap(), instances: instances.map(Amount::Count), pause }
}

/// A canary with these weights, each held until somebody promotes it.
pub(crate) fn canary(weights: &[u64]) -> Canary {
    canary_of(weights.iter().map(|weight| step(*weight, None, StepPause::UntilPromoted)).collect())
}

pub(crate) fn canary_of(steps: Vec<CanaryStep>) -> Canary {
    Canary::new(CanarySettings { steps, ..CanarySettings::default() }).unwrap()
}

/// Every strategy that keeps serving.
pub(crate) fn serving_strategies() -> Vec<Arc<dyn Strategy>> {
    let timed = |weight| step(weight, None, StepPause::For(seconds(5)));
    vec![
        Arc::new(rolling(1, 0)),
        Arc::new(rolling(0, 1)),
        Arc::new(rolling(2, 1)),
        Arc::new(blue_green()),
        Arc::new(canary_of(vec![timed(25), timed(50)])),
    ]
}

/// Every strategy that this crate moves by itself.
pub(crate) fn everything() -> Vec<Arc<dyn Strategy>> {
    let mut all = serving_strategies();
    all.push(Arc::new(Recreate::default()));
    all
}
