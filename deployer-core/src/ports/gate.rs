//! Whether a rollout may go on.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::CallContext;
use crate::{
    model::{AttachPoint, Instance, SetId, Timestamp},
    strategy::Verdict,
};

/// What a gate is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateWindow {
    /// Where in the rollout.
    pub at: AttachPoint,
    /// At which step or batch.
    pub step: u32,
    /// When it was first asked here.
    pub since: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// The new set.
    pub candidate: SetId,
    /// The old set, if there is one.
    pub stable: Option<SetId>,
    /// Instances of the new set that are verified.
    pub instances: Arc<[Instance]>,
    /// What the gate asked to remember last time.
    pub memory: serde_json::Value,
}

/// What a gate answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateAnswer {
    /// Its verdict.
    pub verdict: Verdict,
    /// What to remember until it is asked again, at most 4 KiB as JSON. Lost with the process: a gate that must
    /// survive a crash keeps it elsewhere.
    pub memory: serde_json::Value,
    /// When to ask again if the verdict is not definite.
    pub next_at: Timestamp,
}

/// Whether a rollout may go on: approval, time window, analysis, smoke check, webhook.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Gate: std::fmt::Debug + Send + Sync + 'static {
    /// What it decides on, in words.
    fn describe(&self) -> String;

    /// Decides, within [`CallContext::deadline`]. What it cannot find out is [`Verdict::Unknown`], never a pass.
    ///
    /// # Cancel safety
    /// Can be dropped and asked again.
    async fn evaluate(&self, context: &CallContext, window: &GateWindow) -> GateAnswer;
}
