//! What can go wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    model::{Epoch, Timestamp, WorkloadId},
    strategy::Cause,
};

/// What kind of thing went wrong at a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// It exists already and is another.
    AlreadyExists,
    /// Somebody else changed it, or holds a newer epoch.
    Conflict,
    /// This backend cannot do that.
    Unsupported,
    /// The request itself is wrong.
    InvalidInput,
    /// Not allowed.
    PermissionDenied,
    /// Not reachable, or overloaded.
    Unavailable,
    /// No answer in time: it may have happened.
    TimedOut,
    /// Anything else.
    Unexpected,
}

/// Whether doing it again could help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same call will fail again.
    Never,
    /// It may work.
    Maybe,
    /// It was tried as often as is sensible.
    Exhausted,
}

/// An error of a backend.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct BackendError {
    /// What kind of thing went wrong.
    pub kind: ErrorKind,
    /// Whether doing it again could help.
    pub retry: Retry,
    /// What was being done, with the name of the thing: `start instance web-v2-1`.
    pub operation: String,
    /// What happened, and the way out where there is one.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BackendError {
    /// An error whose retry verdict follows from its kind.
    pub fn new(kind: ErrorKind, operation: impl Into<String>, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Unexpected => Retry::Maybe,
            _ => Retry::Never,
        };
        Self { kind, retry, operation: operation.into(), message: message.into(), source: None }
    }

    /// With the error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// This error and its causes in one line.
    pub fn report(&self) -> String {
        report(self)
    }
}

/// An error and its causes in one line, joined by `: `.
pub fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// One thing that keeps a deployment from starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where: a setting, a field, a backend.
    pub at: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// All problems of a specification at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Problems(pub Vec<Problem>);

fn clues(evidence: &[String]) -> String {
    evidence.iter().flat_map(|line| ["; ", line]).collect()
}

/// Who holds the lock of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Who: host, process and user, as the lock writes them.
    pub owner: String,
    /// Since when.
    pub since: Timestamp,
    /// With which epoch.
    pub epoch: Epoch,
    /// Whether the owner is known to be dead.
    pub dead: bool,
}

/// How a deployment ended that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// Nothing was done: all problems at once.
    #[error("refused: {}", list(.0))]
    Refused(Vec<Problem>),
    /// Nothing was done: somebody else deploys this workload.
    #[error("workload {workload} is locked by {} since {}", .holder.owner, .holder.since)]
    Locked {
        /// Which workload.
        workload: WorkloadId,
        /// By whom.
        holder: LockHolder,
    },
    /// The old release is live, alone and whole.
    #[error("rolled back: {cause}{}", clues(.evidence))]
    RolledBack {
        /// Why.
        cause: Cause,
        /// What failed instances left behind, one line each: how it ended and the last line of its log. The
        /// [report](crate::engine::Deployment::report) has more of it.
        evidence: Vec<String>,
    },
    /// It can go neither on nor back without a person.
    #[error("stuck: {why}")]
    Stuck {
        /// Why.
        why: String,
        /// What is left behind.
        left: Vec<String>,
    },
    /// A person, or a newer deployment, ended it.
    #[error("aborted: {reason}")]
    Aborted {
        /// Why.
        reason: String,
        /// The deployment that took over, if one did.
        superseded_by: Option<String>,
    },
    /// Not an end: the world is as it was left and the deployment can be resumed.
    #[error("interrupted: {why}")]
    Interrupted {
        /// Why.
        why: String,
    },
}
