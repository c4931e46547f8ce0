//! What a target reports: places, sets and their instances.

use std::{net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{InstanceId, Place, SetId, Timestamp};

/// Where an instance is in its life, as the platform says. Whether it *works* is for probes to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstancePhase {
    /// Asked for, not yet running.
    Starting,
    /// Running. `ready` is the platform's own readiness, `None` where it has no such notion.
    Running {
        /// The platform's own readiness.
        ready: Option<bool>,
    },
    /// Told to stop; killed at `until` at the latest.
    Stopping {
        /// When the platform kills it.
        until: Timestamp,
    },
    /// Ended by itself and not coming back.
    Failed {
        /// What the platform knows: exit code, signal, refused image.
        reason: String,
    },
}

/// One running copy of a release as its target sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique in the workload for ever: a restarted instance that lost its identity has a new id.
    pub id: InstanceId,
    /// Where it runs.
    pub place: Place,
    /// Where it answers; `None` while unknown, or where it does not serve.
    pub address: Option<SocketAddr>,
    /// Where it is in its life.
    pub phase: InstancePhase,
    /// When this run of it was started.
    pub started_at: Timestamp,
    /// How often the platform has restarted it.
    pub restarts: u32,
    /// Identity of what it runs, to be compared with [`Artifact::digest`](super::Artifact::digest).
    pub digest: Arc<str>,
}

/// All instances of one release at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetView {
    /// Which set.
    pub set: SetId,
    /// Its instances, those that are stopping and failed included, in an order that does not change between observations.
    pub instances: Vec<Instance>,
}

/// Whether a place could be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceStatus {
    /// What is reported of this place is what is there.
    Known,
    /// It could not be reached: nothing is known of what runs there now.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// One place of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceView {
    /// Which place.
    pub place: Place,
    /// Whether it could be looked at.
    pub status: PlaceStatus,
}

/// One look at a workload. What is at an unknown place is simply not listed; a failed look is an error, never an
/// empty view.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkloadView {
    /// Every place where the workload may have instances.
    pub places: Vec<PlaceView>,
    /// Every set that has instances or is remembered by the target.
    pub sets: Vec<SetView>,
}

/// What is known of one instance when something went wrong: kept for the report, taken before the instance is removed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The last lines that it printed, newest last, at most 64 KiB.
    pub log: String,
    /// Its exit code or signal, if it ended.
    pub exit: Option<String>,
    /// What the platform noted about it.
    pub events: Vec<String>,
}
