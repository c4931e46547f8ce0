//! One instance as the helper remembers it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use deployer_core::model::{DeploymentId, Epoch, Instance, InstanceId, InstancePhase, Place, Timestamp};
use serde::{Deserialize, Serialize};

use super::{process::ProcessIdentity, state::SavedSet};

/// How many notes are kept of one instance.
const NOTES: usize = 32;

/// Where an instance is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Life {
    /// About to be started. After a kill of the helper at this point its process may or may not exist.
    Planned,
    /// Its process runs.
    Running,
    /// It ended and is started again at this time.
    Backoff { until: Timestamp },
    /// It has to stop, and is killed at this time. `told` is saved after the signal was sent.
    Stopping { until: Timestamp, told: bool },
    /// It ended and stays down.
    Failed { reason: String },
}

/// On whose behalf an instance was made: its process carries this as marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeBy {
    pub(crate) deployment: DeploymentId,
    pub(crate) epoch: Epoch,
}

/// One instance as the helper remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedInstance {
    pub(crate) id: InstanceId,
    pub(crate) made_by: MadeBy,
    pub(crate) port: Option<u16>,
    pub(crate) life: Life,
    pub(crate) process: Option<ProcessIdentity>,
    pub(crate) started_at: Timestamp,
    /// All restarts.
    pub(crate) restarts: u32,
    /// Restarts since it last ran for a while.
    pub(crate) restarts_in_row: u32,
    /// How it ended last.
    pub(crate) exit: Option<String>,
    notes: Vec<String>,
}

impl SavedInstance {
    pub(crate) fn planned(id: InstanceId, made_by: MadeBy, port: Option<u16>) -> Self {
        Self {
            id,
            made_by,
            port,
            life: Life::Planned,
            process: None,
            started_at: now(),
            restarts: 0,
            restarts_in_row: 0,
            exit: None,
            notes: Vec::new(),
        }
    }

    /// Counts for the size of its set.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.life, Life::Planned | Life::Running | Life::Backoff { .. })
    }

    /// Holds its port.
    pub(crate) fn holds_port(&self) -> bool {
        !matches!(self.life, Life::Failed { .. })
    }

    /// Notes what happened to it, with the time; the oldest notes go.
    pub(crate) fn note(&mut self, what: impl std::fmt::Display) {
        if self.notes.len() == NOTES {
            self.notes.remove(0);
        }
        self.notes.push(format!("{} {what}", now()));
    }

    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn view(&self, set: &SavedSet, place: &Place) -> Instance {
        Instance {
            id: self.id.clone(),
            place: place.clone(),
            address: self.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            phase: match &self.life {
                Life::Planned | Life::Backoff { .. } => InstancePhase::Starting,
                Life::Running => InstancePhase::Running { ready: None },
                Life::Stopping { until, .. } => InstancePhase::Stopping { until: *until },
                Life::Failed { reason } => InstancePhase::Failed { reason: reason.clone() },
            },
            started_at: self.started_at,
            restarts: self.restarts,
            digest: set.digest.clone(),
        }
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A duration for people: `12 ms`, `3.4 s`, `17 min`.
pub(crate) fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        1..=119 => format!("{:.1} s", duration.as_secs_f64()),
        120..=7199 => format!("{} min", duration.as_secs() / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
