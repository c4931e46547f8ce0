//! What one seed is about: drawn once, before anything happens.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    engine::{EngineSettings, ProbeSettings, RetryPolicy},
    model::{Amount, AttachPoint, Percent, Place, ReleaseId, RolloutSettings, SecretRef, WayBack},
    strategy::{
        BlueGreenSettings, CanarySettings, CanaryStep, HealthSettings, RecreateSettings, RollingSettings,
        StepPause, Strategy, StrategySettings,
    },
};

use super::{draw::Draw, rates::Rates};
use crate::world::{Behaviour, Latency, WorldSettings};

/// One release in the sequence.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Its number: release `v3` has 3. A number that was there before is deployed again.
    pub(super) release: u32,
    pub(super) replicas: u32,
    pub(super) strategy: StrategySettings,
    pub(super) settings: RolloutSettings,
    pub(super) gate: Option<AttachPoint>,
}

/// What one seed is about.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) world: WorldSettings,
    /// By number of the release.
    pub(super) behaviours: Vec<Behaviour>,
    pub(super) steps: Vec<Step>,
    pub(super) engine: EngineSettings,
    pub(super) probing: ProbeSettings,
    pub(super) rates: Rates,
    /// After this nothing goes wrong any more that is not in a release itself.
    pub(super) quiet_after: Duration,
}

impl Scenario {
    pub(super) fn draw(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let rates = Rates::draw(&mut draw);
        let world = world(&mut draw, seed);
        let count = 1 + draw.below(5);
        let replicas = 1 + draw.number(6);
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..count {
            let newest = steps.iter().map(|step| step.release).max().unwrap_or(0);
            let release = if newest > 0 && draw.chance(150) { 1 + draw.number(newest) } else { newest + 1 };
            let replicas = if draw.chance(150) { 1 + draw.number(6) } else { replicas };
            steps.push(Step::draw(&mut draw, release, replicas, &world));
        }
        let newest = steps.iter().map(|step| step.release).max().unwrap_or(0);
        let behaviours = (0..=newest).map(|_| behaviour(&mut draw)).collect();
        let quiet_after = Duration::from_secs(10 + draw.below(80));
        Self {
            engine: engine(&mut draw),
            probing: probing(&mut draw),
            world,
            behaviours,
            steps,
            rates,
            quiet_after,
        }
    }

    /// How long after something happened to an instance the deployer may still not know of it, or not believe that it
    /// is over.
    pub(super) fn doubt(&self) -> Duration {
        let probes = self.probing.health.rise.get() + self.probing.health.fall.get() + 1;
        let min_ready = self.steps.iter().map(|step| step.settings.min_ready).max().unwrap_or_default();
        (self.probing.interval + self.probing.timeout) * probes
            + self.engine.call_deadline * 4
            + self.engine.idle_look
            + self.world.switch.most
            + min_ready
    }

    /// After how long without a look at the target a process has to begin anew: more than failed looks now and then.
    pub(super) fn blindness(&self) -> Duration {
        self.engine.call_deadline * 4 + self.engine.idle_look
    }

    /// How long a deployment may take at most once nothing goes wrong any more: every move of every instance as long
    /// as it can take, both ways.
    pub(super) fn bound(&self, step: &Step) -> Duration {
        let settings = &step.settings;
        let watch = match &step.strategy {
            StrategySettings::Rolling(rolling) => rolling.settle_window + rolling.pause * 8,
            StrategySettings::BlueGreen(blue_green) => blue_green.bake,
            StrategySettings::Canary(canary) => canary.bake + Duration::from_secs(20) * 4,
            StrategySettings::Recreate(recreate) => recreate.bake,
            _ => Duration::ZERO,
        };
        let one_move = settings.start_deadline
            + settings.min_ready
            + settings.drain
            + settings.settle
            + self.world.target.stop_grace
            + self.engine.call_deadline * 4
            + self.engine.idle_look * 2;
        let count = 2 * (step.replicas + 6) + 8;
        settings.progress_deadline * 4
            + settings.gate_deadline * 8
            + self.engine.prepare_deadline * 4
            + watch * 2
            + one_move * count
    }
}

impl Step {
    fn draw(draw: &mut Draw, release: u32, replicas: u32, world: &WorldSettings) -> Self {
        let min_ready = draw.pick(&[0, 0, 500, 1500]);
        let settings = RolloutSettings {
            min_ready: Duration::from_millis(min_ready),
            start_deadline: Duration::from_secs(4 + draw.below(8)),
            progress_deadline: Duration::from_secs(12 + draw.below(10)),
            // Longer than the longest request and the slowest switch.
            drain: world.request + world.switch.most + Duration::from_millis(1000 + draw.below(2000)),
            settle: world.switch.most + Duration::from_millis(100),
            failure_ratio: Percent::new(draw.pick(&[0, 0, 50])).unwrap_or_default(),
            way_back: if draw.chance(200) {
                WayBack::Gradual {
                    step: Percent::new(20 + draw.below(50)).unwrap_or_default(),
                    every: Duration::from_secs(1),
                }
            } else {
                WayBack::Instant
            },
            gate_deadline: Duration::from_secs(15),
            rollback_window: draw.pick(&[0, 2]),
        };
        let points =
            [AttachPoint::BeforeTraffic, AttachPoint::EachStep, AttachPoint::FullTraffic, AttachPoint::Bake];
        let gate = draw.chance(250).then(|| draw.pick(&points));
        Self { release, replicas, strategy: strategy(draw, world.routed), settings, gate }
    }

    pub(super) fn release(&self) -> ReleaseId {
        release_id(self.release)
    }

    /// The production strategy.
    pub(super) fn strategy(&self) -> Arc<dyn Strategy> {
        self.strategy.clone().build().expect("only settings that can be are drawn")
    }
}

/// The name of a release.
pub(super) fn release_id(number: u32) -> ReleaseId {
    ReleaseId::new(format!("v{number}")).expect("a letter and a number are a name")
}

/// The secret of every release, by name.
pub(super) fn secrets() -> Vec<SecretRef> {
    vec![SecretRef("web/password".to_owned())]
}

fn strategy(draw: &mut Draw, routed: bool) -> StrategySettings {
    let bake = Duration::from_millis(draw.pick(&[0, 800, 3000]));
    match draw.below(if routed { 10 } else { 5 }) {
        0..=3 => {
            let max_unavailable = draw.pick(&[0, 0, 1, 2]);
            let surge = if max_unavailable == 0 { draw.pick(&[1, 1, 2]) } else { draw.pick(&[0, 1]) };
            StrategySettings::Rolling(RollingSettings {
                surge: if draw.chance(200) {
                    Amount::percent(25 + draw.below(75)).expect("at most 100")
                } else {
                    Amount::Count(surge)
                },
                max_unavailable: Amount::Count(max_unavailable),
                batch: draw.chance(250).then(|| Amount::Count(1 + draw.number(2))),
                pause: Duration::from_millis(draw.pick(&[0, 1000])),
                settle_window: bake,
            })
        }
        4 => StrategySettings::Recreate(RecreateSettings { bake, ..RecreateSettings::default() }),
        5..=7 => StrategySettings::BlueGreen(BlueGreenSettings {
            candidate: if draw.chance(500) { Amount::Count(1) } else { Amount::percent(100).expect("100") },
            bake,
        }),
        _ => {
            let mut weight = 0;
            let steps = (0..=draw.below(3)).map(|_| {
                weight += 10 + draw.below(20);
                let pause = match draw.below(6) {
                    0 => StepPause::UntilPromoted,
                    1 | 2 => StepPause::None,
                    _ => StepPause::For(Duration::from_millis(300 + draw.below(1500))),
                };
                CanaryStep { weight: Percent::new(weight).expect("at most 90"), instances: None, pause }
            });
            let steps = steps.collect();
            StrategySettings::Canary(CanarySettings { steps, bake, routes: Vec::new() })
        }
    }
}

fn world(draw: &mut Draw, seed: u64) -> WorldSettings {
    let default = WorldSettings::default();
    let mut router = default.router.clone();
    router.proves = draw.chance(650);
    router.counts_in_flight = draw.chance(800);
    let mut target = default.target.clone();
    target.stop_grace = Duration::from_secs(2);
    let places = (1..=1 + draw.below(3)).filter_map(|n| Place::new(format!("host-{n}")).ok());
    WorldSettings {
        seed,
        places: places.collect(),
        start: Latency::millis(50, draw.pick(&[200, 400, 2500])),
        ready: Latency::millis(50, draw.pick(&[300, 1000])),
        stop: Latency::millis(20, draw.pick(&[200, 1500])),
        call: Latency::millis(1, draw.pick(&[5, 30, 200])),
        probe: Latency::millis(1, draw.pick(&[3, 60])),
        looks_at_ends: true,
        switch: Latency::millis(0, draw.pick(&[20, 200, 900])),
        request: Duration::from_millis(draw.pick(&[100, 600, 2000])),
        routed: draw.chance(900),
        target,
        router,
        ..default
    }
}

fn behaviour(draw: &mut Draw) -> Behaviour {
    let well = Behaviour::default();
    match draw.below(100) {
        0..=7 => Behaviour { never_ready: true, ..well },
        8..=13 => Behaviour { dies_after: Some(Duration::from_millis(200 + draw.below(8000))), ..well },
        14..=19 => Behaviour { flaps: Some(Duration::from_millis(800 + draw.below(5000))), ..well },
        20..=23 => Behaviour { missing: true, ..well },
        24..=31 => Behaviour { start: Some(Duration::from_millis(1000 + draw.below(6000))), ..well },
        32..=36 => Behaviour { ignores_stop: true, ..well },
        _ => well,
    }
}

fn engine(draw: &mut Draw) -> EngineSettings {
    EngineSettings {
        call_deadline: Duration::from_secs(1),
        prepare_deadline: Duration::from_secs(2),
        retry: RetryPolicy {
            attempts: 1 + draw.number(3),
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(1),
            total: Duration::from_secs(3),
        },
        first_look: Duration::from_millis(draw.pick(&[10, 100, 200])),
        active_look: Duration::from_millis(draw.pick(&[250, 1000, 2000])),
        idle_look: Duration::from_secs(draw.pick(&[2, 5])),
        safety_look: Duration::from_secs(draw.pick(&[5, 3600])),
        renew_lock: Duration::from_secs(3),
        ..EngineSettings::default()
    }
}

fn probing(draw: &mut Draw) -> ProbeSettings {
    let mut health = HealthSettings::default();
    health.rise = health.rise.min(std::num::NonZeroU32::MIN.saturating_add(draw.number(2)));
    health.fall = std::num::NonZeroU32::MIN.saturating_add(draw.number(3));
    ProbeSettings {
        interval: Duration::from_millis(draw.pick(&[400, 1000])),
        start_interval: Duration::from_millis(draw.pick(&[100, 300])),
        timeout: Duration::from_millis(500),
        health,
    }
}
