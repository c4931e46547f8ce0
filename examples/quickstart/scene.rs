//! What is shown: which release by which strategy, and what has to come of it.

use std::{sync::Arc, time::Duration};

use deployer::{
    error::Problems,
    model::{Amount, Percent, ReleaseId, WorkloadId},
    strategy::{
        BlueGreen, BlueGreenSettings, Canary, CanarySettings, CanaryStep, Recreate, Rolling, RollingSettings,
        StepPause, Strategy,
    },
};
use deployer_testkit::app::{AppSettings, Health, Smoke};

/// Instances of each workload.
pub(crate) const REPLICAS: u32 = 4;
/// How long an instance takes until it listens.
pub(crate) const START_DELAY: Duration = Duration::from_millis(200);
/// How long an answer takes.
pub(crate) const WORK: Duration = Duration::from_millis(2);
/// Bake time and settle window.
pub(crate) const BAKE: Duration = Duration::from_millis(800);

/// How a release behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    Good,
    NeverHealthy,
    FailsSmoke,
    AnswersErrors,
}

/// What has to come of a scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expected {
    /// It is live and no request failed.
    Lossless,
    /// It is live; how long nothing answered is measured.
    Interrupted,
    /// The old release is live and no request failed.
    TakenBack,
    /// The old release is live; all failures were answers of the new one, whose share was this at most.
    TakenBackAfter { share: f64 },
}

/// One deployment under load.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) kind: &'static str,
    pub(crate) release: &'static str,
    pub(crate) nature: Nature,
    pub(crate) expected: Expected,
}

impl Scene {
    pub(crate) fn workload(&self) -> Result<WorkloadId, deployer::model::InvalidName> {
        WorkloadId::new(format!("web-{}", self.kind))
    }

    pub(crate) fn release_id(&self) -> Result<ReleaseId, deployer::model::InvalidName> {
        ReleaseId::new(self.release)
    }

    pub(crate) fn app(&self) -> AppSettings {
        app(self.release, self.nature)
    }

    pub(crate) fn strategy(&self) -> Result<Arc<dyn Strategy>, Problems> {
        strategy(self.kind)
    }
}

/// All of it, in order; the first one of each strategy finds v1 running.
pub(crate) fn all() -> Vec<Scene> {
    let good = |kind, expected| Scene { kind, release: "v2", nature: Nature::Good, expected };
    let mut scenes = Vec::new();
    for (kind, share) in [("rolling", 0.25), ("blue-green", 1.0), ("canary", 0.25)] {
        let bad = |release, nature, expected| Scene { kind, release, nature, expected };
        scenes.push(good(kind, Expected::Lossless));
        scenes.push(bad("v3-never-healthy", Nature::NeverHealthy, Expected::TakenBack));
        scenes.push(bad("v4-fails-smoke", Nature::FailsSmoke, Expected::TakenBack));
        scenes.push(bad("v5-answers-errors", Nature::AnswersErrors, Expected::TakenBackAfter { share }));
    }
    scenes.push(good("recreate", Expected::Interrupted));
    // The four good ones first: they are the main thing.
    scenes.sort_by_key(|scene| scene.nature != Nature::Good);
    scenes
}

/// The demo application as a release.
pub(crate) fn app(release: &str, nature: Nature) -> AppSettings {
    let mut app = AppSettings::new(release, 0);
    app.start_delay = START_DELAY;
    app.work = WORK;
    match nature {
        Nature::Good => {}
        Nature::NeverHealthy => app.health = Health::Never,
        Nature::FailsSmoke => app.smoke = Smoke::Fail,
        Nature::AnswersErrors => app.errors = Percent::new(50).unwrap_or_default(),
    }
    app
}

/// Settings are shortened, so that the whole takes less than two minutes; see `show::settings`.
pub(crate) fn strategy(kind: &str) -> Result<Arc<dyn Strategy>, Problems> {
    let step = |weight| CanaryStep {
        weight: Percent::new(weight).unwrap_or_default(),
        instances: None,
        pause: StepPause::For(Duration::from_millis(300)),
    };
    Ok(match kind {
        "blue-green" => {
            Arc::new(BlueGreen::new(BlueGreenSettings { bake: BAKE, ..BlueGreenSettings::default() })?)
        }
        "canary" => {
            let steps = vec![step(10), step(25), step(50)];
            Arc::new(Canary::new(CanarySettings { steps, bake: BAKE, ..CanarySettings::default() })?)
        }
        "recreate" => Arc::new(Recreate::default()),
        _ => {
            let settings = RollingSettings {
                surge: Amount::Count(1),
                settle_window: BAKE,
                ..RollingSettings::default()
            };
            Arc::new(Rolling::new(settings)?)
        }
    })
}
