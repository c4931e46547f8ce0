//! Folding probes into health: thresholds are arithmetic, so they live here and not in probes.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// What one probe said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// It works.
    Ok,
    /// It answered and does not work, or nothing listens.
    Failed {
        /// What was wrong.
        why: String,
    },
    /// The probe could not find out: it counts neither way.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// How many probes in a row it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// Successes in a row until an instance is ready. Default 2.
    pub rise: NonZeroU32,
    /// Failures in a row until a ready instance is unhealthy. Default 3 (Kubernetes `failureThreshold`).
    pub fall: NonZeroU32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();
        const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();
        Self { rise: TWO, fall: THREE }
    }
}

/// Probes of one instance, folded. Kept by the driver, never journaled.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProbeHistory {
    successes: u32,
    failures: u32,
    ready_since: Option<Timestamp>,
    unhealthy: bool,
    falls: u32,
    judged: bool,
    last_failure: String,
}

impl ProbeHistory {
    /// For an instance that was in rotation before this process started: its first fresh success makes it ready.
    pub fn trusted(settings: HealthSettings) -> Self {
        Self { successes: settings.rise.get() - 1, ..Self::default() }
    }

    /// Takes in one probe. An unknown one changes nothing.
    pub fn record(&mut self, settings: HealthSettings, probe: &Probe, now: Timestamp) {
        self.judged |= !matches!(probe, Probe::Unknown { .. });
        match probe {
            Probe::Ok => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                if self.ready_since.is_none() && self.successes >= settings.rise.get() {
                    self.ready_since = Some(now);
                    self.unhealthy = false;
                }
            }
            Probe::Failed { why } => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                self.last_failure.clone_from(why);
                if self.ready_since.is_some() && self.failures >= settings.fall.get() {
                    self.ready_since = None;
                    self.unhealthy = true;
                    self.falls = self.falls.saturating_add(1);
                }
            }
            Probe::Unknown { .. } => {}
        }
    }

    /// Since when it has been ready, if it is.
    pub fn ready_since(&self) -> Option<Timestamp> {
        self.ready_since
    }

    /// It was ready once and is no longer.
    pub fn has_fallen(&self) -> bool {
        self.unhealthy
    }

    /// A probe found out something.
    pub fn is_judged(&self) -> bool {
        self.judged
    }

    /// How often it went from ready to unhealthy.
    pub fn falls(&self) -> u32 {
        self.falls
    }

    /// What the last failed probe said; empty if none failed.
    pub fn last_failure(&self) -> &str {
        &self.last_failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Timestamp {
        Timestamp::from_millis(n)
    }

    fn failed() -> Probe {
        Probe::Failed { why: "500".into() }
    }

    #[test]
    fn two_in_a_row_make_ready_and_three_in_a_row_unhealthy() {
        let settings = HealthSettings::default();
        let mut history = ProbeHistory::default();
        for (n, probe) in [Probe::Ok, failed(), Probe::Ok].iter().enumerate() {
            history.record(settings, probe, at(n as u64));
        }
        assert_eq!(history.ready_since(), None, "a failure starts the count anew");
        history.record(settings, &Probe::Ok, at(3));
        assert_eq!(history.ready_since(), Some(at(3)));
        for probe in [failed(), failed(), Probe::Ok, failed(), failed()] {
            history.record(settings, &probe, at(4));
        }
        assert_eq!(history.ready_since(), Some(at(3)), "never three in a row");
        history.record(settings, &failed(), at(5));
        assert!(history.ready_since().is_none() && history.has_fallen());
    }

    #[test]
    fn unknown_counts_neither_way() {
        let settings = HealthSettings::default();
        let mut history = ProbeHistory::trusted(settings);
        history.record(settings, &Probe::Unknown { why: "partition".into() }, at(1));
        assert_eq!(history.ready_since(), None);
        history.record(settings, &Probe::Ok, at(2));
        assert_eq!(history.ready_since(), Some(at(2)));
        for _ in 0..10 {
            history.record(settings, &Probe::Unknown { why: "partition".into() }, at(3));
        }
        assert_eq!(history.ready_since(), Some(at(2)));
    }
}
