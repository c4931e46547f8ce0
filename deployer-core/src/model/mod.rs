//! Plain serialisable data: no async, no clock, no logging.

mod amount;
mod artifact;
mod capability;
mod ids;
mod instance;
pub mod settings;
mod timestamp;
mod traffic;

pub use amount::{Amount, Percent};
pub use artifact::{Artifact, PinnedRelease, Release, SecretRef, SetSpec};
pub use capability::{RouterCapabilities, TargetCapabilities};
pub use ids::{
    BackupKey, DeploymentId, Epoch, GateId, InstanceId, InvalidName, Place, ReleaseId, SetId, StageId,
    WorkloadId,
};
pub use instance::{Evidence, Instance, InstancePhase, PlaceStatus, PlaceView, SetView, WorkloadView};
pub use settings::{AttachPoint, GateBinding, Replicas, RolloutSettings, WayBack};
pub use timestamp::Timestamp;
pub use traffic::{InFlight, Maintenance, Member, Proof, Route, RouteMatch, Share, Split, TrafficView};
