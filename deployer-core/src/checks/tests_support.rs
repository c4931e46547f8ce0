//! What unit tests ask about.

use std::time::Duration;

use crate::{
    model::{DeploymentId, Epoch, Instance, InstanceId, InstancePhase, Place, Timestamp, WorkloadId},
    ports::CallContext,
};

/// A call with a deadline of five seconds about an instance at this address.
pub(crate) fn asked(address: &str) -> (CallContext, Instance) {
    (context(Duration::from_secs(5)), instance("web-v2-1", address))
}

/// A call with this deadline.
pub(crate) fn context(deadline: Duration) -> CallContext {
    CallContext {
        workload: WorkloadId::new("web").unwrap(),
        deployment: DeploymentId::new("d1").unwrap(),
        epoch: Epoch(1),
        deadline,
    }
}

/// A running instance.
pub(crate) fn instance(id: &str, address: &str) -> Instance {
    Instance {
        id: InstanceId::new(id).unwrap(),
        place: Place::new("here").unwrap(),
        address: Some(address.parse().unwrap()),
        phase: InstancePhase::Running { ready: None },
        started_at: Timestamp::from_millis(0),
        restarts: 0,
        digest: "sha256:2".into(),
    }
}
