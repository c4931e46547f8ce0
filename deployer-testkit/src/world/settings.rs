//! What a world is like.

use std::time::Duration;

use deployer_core::model::{Percent, Place, RouterCapabilities, TargetCapabilities};

use super::random::Random;

/// A time that varies between two bounds, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Never shorter.
    pub least: Duration,
    /// Never longer.
    pub most: Duration,
}

impl Latency {
    /// No time at all.
    pub const NONE: Self = Self::exactly(Duration::ZERO);

    /// Always the same.
    pub const fn exactly(duration: Duration) -> Self {
        Self { least: duration, most: duration }
    }

    /// Between two numbers of milliseconds.
    pub const fn millis(least: u64, most: u64) -> Self {
        Self { least: Duration::from_millis(least), most: Duration::from_millis(most) }
    }

    pub(super) fn draw(self, random: &mut Random) -> Duration {
        let width = self.most.saturating_sub(self.least).as_millis();
        let width = u64::try_from(width).unwrap_or(u64::MAX).saturating_add(1);
        self.least + Duration::from_millis(random.below(width))
    }
}

/// What a world is like. [`WorldSettings::default`] is a quick and friendly one.
#[derive(Debug, Clone)]
pub struct WorldSettings {
    /// Drives every latency and every random fault.
    pub seed: u64,
    /// Where instances run. At least one; without any nothing can be started.
    pub places: Vec<Place>,
    /// From the command to start an instance until it runs.
    pub start: Latency,
    /// From then on until its probes succeed.
    pub ready: Latency,
    /// From the command to stop until it is gone; at most the target's grace time.
    pub stop: Latency,
    /// How long a call to target or router takes. It has its effect halfway.
    pub call: Latency,
    /// How long a probe takes.
    pub probe: Latency,
    /// Looks and probes tell by turns what was true when they began and what is when they end, instead of halfway.
    pub looks_at_ends: bool,
    /// From an accepted split until the data plane follows it.
    pub switch: Latency,
    /// Requests in flight at each member while it is in rotation.
    pub in_flight: u32,
    /// How long it takes until the last of them ends once a member left the rotation.
    pub request: Duration,
    /// Requests a second that the workload gets, for metrics.
    pub requests_per_second: u32,
    /// Whether traffic goes through the router; without it an instance is available as soon as it is ready.
    pub routed: bool,
    /// What the target can do.
    pub target: TargetCapabilities,
    /// What the router can do.
    pub router: RouterCapabilities,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            places: ["host-1", "host-2", "host-3"]
                .into_iter()
                .filter_map(|name| Place::new(name).ok())
                .collect(),
            start: Latency::millis(100, 300),
            ready: Latency::millis(200, 1000),
            stop: Latency::millis(50, 500),
            call: Latency::millis(1, 20),
            probe: Latency::millis(1, 5),
            looks_at_ends: false,
            switch: Latency::millis(10, 200),
            in_flight: 3,
            request: Duration::from_secs(2),
            requests_per_second: 100,
            routed: true,
            target: TargetCapabilities {
                pins_victims: true,
                admits_itself: false,
                delegates: false,
                grows_adopted: false,
                exclusive: None,
                fences: true,
                stop_grace: Duration::from_secs(10),
            },
            router: RouterCapabilities {
                weights: true,
                header_routes: true,
                cookie_routes: true,
                maintenance: true,
                members: true,
                proves: true,
                counts_in_flight: true,
                fences: true,
            },
        }
    }
}

/// How the instances of one release behave. The default is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// Takes the place of [`WorldSettings::start`].
    pub start: Option<Duration>,
    /// Runs, and fails every probe.
    pub never_ready: bool,
    /// Ends by itself this long after it was started.
    pub dies_after: Option<Duration>,
    /// Share of the requests that it answers with an error; its probes succeed all the same.
    pub errors: Percent,
    /// Once ready it alternates between healthy and not, each for so long.
    pub flaps: Option<Duration>,
    /// Stops only when it is killed at the end of the grace time.
    pub ignores_stop: bool,
    /// The artifact does not exist: it cannot be prepared, and not be started.
    pub missing: bool,
}
