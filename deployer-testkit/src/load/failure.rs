//! How a request can fail.

use std::{fmt, time::Duration};

use deployer_core::model::settings::seconds;
use serde::{Deserialize, Serialize};

use super::RequestShape;

/// How a request can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It was never sent: no connection was free in time, or this machine was too slow. It says nothing about the
    /// server by itself, but a run that hides it would.
    Unsent,
    /// No connection could be made.
    Refused,
    /// The connection ended before the whole answer was there.
    Reset,
    /// No whole answer within the time limit.
    Timeout,
    /// An answer of status 500 to 599.
    #[serde(rename = "status_5xx")]
    Status5xx,
    /// An answer of any other status but 200, or one that is not HTTP.
    StatusOther,
    /// Status 200, but not the body that was sent.
    BadBody,
}

impl FailureKind {
    /// All kinds, in the order in which results print them.
    pub const ALL: [Self; 7] = [
        Self::Unsent,
        Self::Refused,
        Self::Reset,
        Self::Timeout,
        Self::Status5xx,
        Self::StatusOther,
        Self::BadBody,
    ];

    /// Its name in tables, the same as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status5xx => "status_5xx",
            Self::StatusOther => "status_other",
            Self::BadBody => "bad_body",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One failed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Number of the request in the schedule, from 0.
    pub request: u64,
    /// Its shape.
    pub shape: RequestShape,
    /// How it failed.
    pub kind: FailureKind,
    /// When it was scheduled, from the start of the load, in seconds.
    #[serde(with = "seconds")]
    pub scheduled: Duration,
    /// When it was known to have failed, from the start of the load, in seconds.
    #[serde(with = "seconds")]
    pub failed: Duration,
    /// What was seen: the error of the connection, the status.
    pub detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.3} s  request {} ({:?}) {} after {:.1} ms: {}",
            self.scheduled.as_secs_f64(),
            self.request,
            self.shape,
            self.kind,
            self.failed.saturating_sub(self.scheduled).as_secs_f64() * 1000.0,
            self.detail
        )
    }
}
