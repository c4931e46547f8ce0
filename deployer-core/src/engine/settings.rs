//! How patient the engine is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{model::settings::seconds, strategy::HealthSettings};

/// How often and for how long a failed call is made again. Durations are written in seconds.
///
/// It is the only retry layer: backends switch off those of their own clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// How often a call is made at most, the first time included. Default 5.
    pub attempts: u32,
    /// The wait after the first failure; it doubles from there, and up to half of it is taken off at random. Default 200 ms.
    #[serde(with = "seconds")]
    pub first_wait: Duration,
    /// The longest wait. Default 5 s.
    #[serde(with = "seconds")]
    pub longest_wait: Duration,
    /// No call is made again once this much time has passed since the first. Default 60 s.
    #[serde(with = "seconds")]
    pub total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(5),
            total: Duration::from_secs(60),
        }
    }
}

/// How patient the engine is. Durations are written in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// How long one call to a backend, a gate or a notifier may take. Default 30 s.
    #[serde(with = "seconds")]
    pub call_deadline: Duration,
    /// How long preparing a release may take: images are pulled here. Default 10 min.
    #[serde(with = "seconds")]
    pub prepare_deadline: Duration,
    /// How failed calls are repeated.
    pub retry: RetryPolicy,
    /// How soon the engine looks again after it did something. The time doubles with each look in vain, up to
    /// `active_look`. Default 10 ms.
    #[serde(with = "seconds")]
    pub first_look: Duration,
    /// How often the engine looks while something is under way: instances start or stop, a switch is unproven. Also how
    /// old a look may be to be decided on. Default 250 ms.
    #[serde(with = "seconds")]
    pub active_look: Duration,
    /// How often the engine looks while nothing is under way and a backend sends no hints of changes, or its stream of
    /// them broke. Default 30 s.
    #[serde(with = "seconds")]
    pub idle_look: Duration,
    /// How often the engine looks while nothing is under way and all backends send hints of changes: in case that one
    /// was lost. Default 1 h.
    #[serde(with = "seconds")]
    pub safety_look: Duration,
    /// How often requests of other processes are looked for, where they can be left. Default 500 ms.
    #[serde(with = "seconds")]
    pub request_look: Duration,
    /// How often the lock is renewed while the engine waits; it is renewed before each action too. Default 10 s.
    #[serde(with = "seconds")]
    pub renew_lock: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            call_deadline: Duration::from_secs(30),
            prepare_deadline: Duration::from_secs(10 * 60),
            retry: RetryPolicy::default(),
            first_look: Duration::from_millis(10),
            active_look: Duration::from_millis(250),
            idle_look: Duration::from_secs(30),
            safety_look: Duration::from_secs(60 * 60),
            request_look: Duration::from_millis(500),
            renew_lock: Duration::from_secs(10),
        }
    }
}

/// How instances are probed. Durations are written in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeSettings {
    /// The pause between two probes of an instance. Default 1 s.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// The pause until the first success, so that a fresh instance is noticed at once: a refused connection costs
    /// next to nothing. Default 100 ms.
    #[serde(with = "seconds")]
    pub start_interval: Duration,
    /// How long one probe may take; a longer one has failed. Default 1 s (Kubernetes `timeoutSeconds`).
    #[serde(with = "seconds")]
    pub timeout: Duration,
    /// How many probes in a row it takes.
    pub health: HealthSettings,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            start_interval: Duration::from_millis(100),
            timeout: Duration::from_secs(1),
            health: HealthSettings::default(),
        }
    }
}
