//! What must not happen to a workload, noticed by the world itself.

use std::fmt;

use deployer_core::model::{InstanceId, SetId, Timestamp, WorkloadId};

/// What kind of thing happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IncidentKind {
    /// An instance was told to stop while requests could still be sent to it.
    StoppedInRotation {
        /// Which instance.
        instance: InstanceId,
    },
    /// An instance was told to stop while it was answering requests.
    StoppedBusy {
        /// Which instance.
        instance: InstanceId,
        /// Requests that it was answering.
        in_flight: u32,
    },
    /// An instance in rotation ended by itself. The caller is not to blame.
    DiedInRotation {
        /// Which instance.
        instance: InstanceId,
    },
    /// The data plane began to send requests to an instance that does not work.
    RoutedToUnready {
        /// Which instance.
        instance: InstanceId,
    },
    /// The data plane began to send requests to something that is not there.
    RoutedToNothing {
        /// Of which set.
        set: SetId,
        /// Which instance.
        instance: InstanceId,
    },
    /// The data plane had somewhere to send requests to and has no longer, and answers no maintenance page either.
    EmptyRotation,
}

/// Something that must not happen happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Incident {
    /// When.
    pub at: Timestamp,
    /// To which workload.
    pub workload: WorkloadId,
    /// What.
    pub kind: IncidentKind,
}

impl Incident {
    /// Whether a caller did it, rather than an instance by itself.
    pub fn is_caused(&self) -> bool {
        !matches!(self.kind, IncidentKind::DiedInRotation { .. })
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {:?}", self.at, self.workload, self.kind)
    }
}
