//! Plain things to call ports with.

use std::{net::SocketAddr, sync::Arc};

use deployer_core::model::{Instance, InstanceId, InstancePhase, Place, Timestamp};

/// A running instance for rigs and tests of checks and gates.
///
/// # Panics
/// The name is not one that an instance can have.
///
/// ```
/// let instance = deployer_testkit::conformance::instance("web-1", None);
/// assert_eq!(instance.id.as_str(), "web-1");
/// ```
#[track_caller]
pub fn instance(name: &str, address: Option<SocketAddr>) -> Instance {
    Instance {
        id: InstanceId::new(name).expect("the name of an instance"),
        place: Place::new("conformance").expect("a plain name"),
        address,
        phase: InstancePhase::Running { ready: None },
        started_at: Timestamp::from_millis(1_767_225_600_000),
        restarts: 0,
        digest: Arc::from("sha256:conformance"),
    }
}
