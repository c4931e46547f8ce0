//! Settings that all strategies share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GateId, Percent};

/// How many instances a workload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replicas {
    /// This many.
    Fixed(u32),
    /// As many as the target has when the rollout starts: an autoscaler or a person decides.
    OwnedByTarget,
}

/// How traffic returns to the old set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WayBack {
    /// In one step, as soon as the old set can carry it.
    #[default]
    Instant,
    /// The new set loses `step` of its weight at a time, `every` so long: lets a cold old set warm up.
    Gradual {
        /// Percentage points a step, at least 1.
        step: Percent,
        /// Time between steps.
        #[serde(with = "seconds")]
        every: Duration,
    },
}

/// Where in a rollout a gate is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachPoint {
    /// Before new instances get their first request; rolling asks again for each batch.
    BeforeTraffic,
    /// At each step of a canary, after its weight is proven; at each batch of a rolling update.
    EachStep,
    /// When the new set carries all requests.
    FullTraffic,
    /// During the bake time, until it passes; the bake time lasts at least as long.
    Bake,
    /// In a [stage](crate::pipeline::Stage::gate) of its own, outside of rollouts.
    Stage,
}

/// A gate and where it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateBinding {
    /// Which gate.
    pub gate: GateId,
    /// Where.
    pub at: AttachPoint,
}

/// Settings that all strategies share. Durations are written in seconds, fractions allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutSettings {
    /// How long an instance must stay ready to be verified. Default 0 s (Kubernetes `minReadySeconds`).
    #[serde(with = "seconds")]
    pub min_ready: Duration,
    /// How long an instance may take from its start until it is verified. Default 5 min (Nomad `healthy_deadline`).
    #[serde(with = "seconds")]
    pub start_deadline: Duration,
    /// How long a rollout may go without progress. Default 10 min (Kubernetes `progressDeadlineSeconds`).
    #[serde(with = "seconds")]
    pub progress_deadline: Duration,
    /// How long requests in flight may take to end once an instance left the rotation. Default 30 s (Kamal).
    #[serde(with = "seconds")]
    pub drain: Duration,
    /// How long to wait after a switch where the router cannot prove it. Default 2 s.
    #[serde(with = "seconds")]
    pub settle: Duration,
    /// Failed instances of the new set ÷ replicas above which the rollout fails. Default 0 (Swarm `max_failure_ratio`).
    pub failure_ratio: Percent,
    /// How traffic returns when the rollout fails. Default at once.
    pub way_back: WayBack,
    /// How long one gate may hold the rollout. Default 1 h.
    #[serde(with = "seconds")]
    pub gate_deadline: Duration,
    /// How many of the last succeeded releases are returned to without steps, gates and bake time. Default 0.
    pub rollback_window: u32,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self {
            min_ready: Duration::ZERO,
            start_deadline: Duration::from_secs(5 * 60),
            progress_deadline: Duration::from_secs(10 * 60),
            drain: Duration::from_secs(30),
            settle: Duration::from_secs(2),
            failure_ratio: Percent::default(),
            way_back: WayBack::Instant,
            gate_deadline: Duration::from_secs(60 * 60),
            rollback_window: 0,
        }
    }
}

/// Durations as seconds with fractions: the one way in which settings and the journal write them.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// The longest that is taken: a thousand days. Beyond, a number with fractions no longer tells nanoseconds apart by
    /// far, and a plan that is read again would not be the plan that was written.
    pub const LONGEST: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

    /// Writes seconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    /// Reads seconds.
    ///
    /// # Errors
    /// The number is negative, not finite, or above [`LONGEST`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let duration = Duration::try_from_secs_f64(number).ok().filter(|duration| *duration <= LONGEST);
        duration.ok_or_else(|| {
            let most = LONGEST.as_secs();
            D::Error::custom(format!(
                "{number} s is no length of time; use 0 or more seconds, at most {most} (1000 days)"
            ))
        })
    }
}
