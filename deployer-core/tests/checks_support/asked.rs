//! What the tests of checks ask about.

use std::{net::SocketAddr, time::Duration};

use deployer_core::{
    model::{DeploymentId, Epoch, Instance, InstanceId, InstancePhase, Place, Timestamp, WorkloadId},
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

pub(crate) fn instance(address: SocketAddr) -> Instance {
    Instance {
        id: InstanceId::new("web-v2-1").unwrap(),
        place: Place::new("here").unwrap(),
        address: Some(address),
        phase: InstancePhase::Running { ready: None },
        started_at: Timestamp::from_millis(0),
        restarts: 0,
        digest: "sha256:2".into(),
    }
}

pub(crate) async fn probe_within(check: &dyn HealthCheck, instance: &Instance, deadline: Duration) -> Probe {
    let context = CallContext {
        workload: WorkloadId::new("web").unwrap(),
        deployment: DeploymentId::new("d1").unwrap(),
        epoch: Epoch(1),
        deadline,
    };
    // A little more than the deadline, for machines that are busy.
    let patience = deadline + Duration::from_secs(2);
    tokio::time::timeout(patience, check.probe(&context, instance)).await.expect("the check was too late")
}

#[track_caller]
pub(crate) fn assert_failed(probe: &Probe, part: &str) {
    match probe {
        Probe::Failed { why } => assert!(why.contains(part), "{why:?} does not contain {part:?}"),
        other => panic!("expected a failure with {part:?}, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_unknown(probe: &Probe, part: &str) {
    match probe {
        Probe::Unknown { why } => assert!(why.contains(part), "{why:?} does not contain {part:?}"),
        other => panic!("expected unknown with {part:?}, got {other:?}"),
    }
}
