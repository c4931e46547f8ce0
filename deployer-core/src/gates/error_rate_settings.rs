//! How many failed requests are too many, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{error::Problem, model::settings::seconds};

/// How many failed requests are too many. Durations are written in seconds, fractions allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorRateSettings {
    /// The largest share of bad requests that is right, in percent, from 0 to below 100. Default 5.
    pub max_bad_percent: f64,
    /// How many requests it takes to pass, at least 1. Default 100 (what guarded rollouts elsewhere ask for).
    pub minimum_samples: u64,
    /// How many bad requests it takes to fail, at least 1. Default 5: one burst of a few is no proof.
    pub minimum_bad: u64,
    /// How long to observe before it can pass; it can fail earlier. Default 60 s (Flagger's interval).
    #[serde(with = "seconds")]
    pub observe: Duration,
    /// How long between two looks, at least 100 ms. Default 5 s.
    #[serde(with = "seconds")]
    pub every: Duration,
    /// Whether the candidate must not be worse than the stable set at the same time, too. Default no.
    pub compare: Option<Comparison>,
}

/// How much worse than the stable set a candidate may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Comparison {
    /// How many times the bad share of the stable set is still right, at least 1. Default 1.
    pub max_ratio: f64,
    /// A difference of fewer percentage points than this is never a reason to fail. Default 0.1.
    pub least_difference_percent: f64,
}

impl Default for ErrorRateSettings {
    fn default() -> Self {
        Self {
            max_bad_percent: 5.0,
            minimum_samples: 100,
            minimum_bad: 5,
            observe: Duration::from_secs(60),
            every: Duration::from_secs(5),
            compare: None,
        }
    }
}

impl Default for Comparison {
    fn default() -> Self {
        Self { max_ratio: 1.0, least_difference_percent: 0.1 }
    }
}

impl ErrorRateSettings {
    /// All that is wrong.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |right: bool, at: &str, message: &str| {
            if !right {
                problems.push(Problem::new(at, message));
            }
        };
        // A range contains no NaN, so that is refused as well.
        check((0.0..100.0).contains(&self.max_bad_percent), "max_bad_percent", "must be from 0 to below 100");
        check(self.minimum_samples > 0, "minimum_samples", "must be at least 1: no requests prove nothing");
        check(self.minimum_bad > 0, "minimum_bad", "must be at least 1");
        check(self.every >= Duration::from_millis(100), "every", "must be at least 0.1 seconds");
        check(self.observe >= self.every, "observe", "must be at least `every`");
        if let Some(compare) = &self.compare {
            check((1.0..=1000.0).contains(&compare.max_ratio), "compare.max_ratio", "must be from 1 to 1000");
            check(
                (0.0..100.0).contains(&compare.least_difference_percent),
                "compare.least_difference_percent",
                "must be from 0 to below 100",
            );
        }
        problems
    }
}
