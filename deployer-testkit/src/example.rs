//! What examples of deployments print for programs: one line of JSON at their end.

use std::{fmt, time::Duration};

use deployer_core::{
    engine::Report,
    error::{DeployError, report},
};
use serde::Serialize;

use crate::{cases::say, load::LoadResult};

/// One deployment of an example.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deployed {
    /// Name of the strategy.
    pub strategy: String,
    /// Name of the release.
    pub release: String,
    /// `succeeded`, `rolled_back`, `aborted`, `stuck` or `refused`; `interrupted` if it can be resumed.
    pub outcome: &'static str,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Requests that were sent while it ran; 0 where there was no load.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
}

/// The deployments of an example, as its last line has them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Deployments {
    deployments: Vec<Deployed>,
}

impl Deployments {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells people how a deployment without load ended, and notes it for programs.
    pub fn add(
        &mut self,
        strategy: &str,
        release: &str,
        took: Duration,
        ended: &Result<Report, DeployError>,
    ) {
        let word: &dyn fmt::Display = match ended {
            Ok(_) => &"is live",
            Err(error) => &report(error),
        };
        say(&format!("{release} by {strategy}: {word}"));
        self.deployments.push(Deployed {
            strategy: strategy.to_owned(),
            release: release.to_owned(),
            outcome: outcome(ended),
            seconds: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            requests: 0,
            failed: 0,
        });
    }

    /// Notes for programs how a deployment under load ended. What people are told is for the example to say.
    pub fn note(
        &mut self,
        strategy: &str,
        release: &str,
        took: Duration,
        ended: &Result<Report, DeployError>,
        load: &LoadResult,
    ) {
        self.deployments.push(Deployed {
            strategy: strategy.to_owned(),
            release: release.to_owned(),
            outcome: outcome(ended),
            seconds: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            requests: load.requests,
            failed: load.failed,
        });
    }

    /// With `--json` among the arguments of this program: one line of JSON.
    pub fn finish(&self) {
        if std::env::args().any(|argument| argument == "--json") {
            say(&serde_json::to_string(self).unwrap_or_default());
        }
    }
}

/// How a deployment ended, in one word.
pub fn outcome(ended: &Result<Report, DeployError>) -> &'static str {
    match ended {
        Ok(_) => "succeeded",
        Err(DeployError::RolledBack { .. }) => "rolled_back",
        Err(DeployError::Aborted { .. }) => "aborted",
        Err(DeployError::Stuck { .. }) => "stuck",
        Err(DeployError::Interrupted { .. }) => "interrupted",
        Err(_) => "refused",
    }
}
