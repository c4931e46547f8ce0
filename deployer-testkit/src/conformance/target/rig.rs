//! What the target suite needs to know of an implementation.

use std::{fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    model::{DeploymentId, Epoch, InstanceId, Place, Release, ReleaseId, SetId, WorkloadId},
    ports::Target,
};

/// How a release behaves that a rig is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReleaseKind {
    /// It starts, runs until it is told to stop, and then stops soon. Every rig has one.
    Good,
    /// The same with other content, so that it resolves to another artifact, under whatever name. Every rig has one.
    OtherGood,
    /// Its artifact does not exist.
    Missing,
    /// It ends by itself as soon as it is started, with an error.
    ExitsAtOnce,
    /// It runs, and goes on when it is told to stop, until it is killed.
    IgnoresStop,
}

/// One instance as the platform itself knows it, found without the target: by a list of processes, by the platform's
/// own command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealInstance {
    /// Which instance, by the name that the target gave it.
    pub instance: InstanceId,
    /// Of which set it is.
    pub set: SetId,
    /// Which deployment made it, where the platform keeps that.
    pub deployment: Option<DeploymentId>,
    /// With which epoch, where the platform keeps that.
    pub epoch: Option<Epoch>,
}

/// What the [target suite](super::target) needs to know of an implementation. What a rig cannot do it leaves out; the
/// checks that need it are then reported as not applicable.
#[async_trait]
pub trait TargetRig: Debug + Send + Sync {
    /// The target that serves this workload. Each check takes a workload of its own, which nothing has run under before.
    async fn target(&self, workload: &WorkloadId) -> Arc<dyn Target>;

    /// A release of this name that behaves so; `None` for what cannot be had, but never for the two good ones.
    fn release(&self, id: ReleaseId, kind: ReleaseKind) -> Option<Release>;

    /// A release whose config has several faults, and a word for each that the error has to mention.
    fn wrong_config(&self, id: ReleaseId) -> Option<(Release, Vec<String>)> {
        drop(id);
        None
    }

    /// All instances of a workload that exist in truth, starting, running or stopping.
    async fn reality(&self, workload: &WorkloadId) -> Option<Vec<RealInstance>> {
        let _ = workload;
        None
    }

    /// Ends an instance from outside, as a crash would. Whether it could be done.
    async fn kill(&self, workload: &WorkloadId, instance: &InstanceId) -> bool {
        let _ = (workload, instance);
        false
    }

    /// Whether something answers at the address of an instance of a good release, tried until then.
    async fn answers(&self, address: SocketAddr) -> Option<bool> {
        let _ = address;
        None
    }

    /// Makes a place unreachable for the target while what runs there runs on. Whether it could be done.
    async fn partition(&self, place: &Place) -> bool {
        let _ = place;
        false
    }

    /// Makes a place reachable again.
    async fn heal(&self, place: &Place) {
        let _ = place;
    }

    /// Removes everything of a workload, whatever state a check left it in.
    async fn clean_up(&self, workload: &WorkloadId) {
        let _ = workload;
    }

    /// How long a good instance may take to run, or anything else until it is seen; stops get the target's grace on
    /// top. Also the deadline of each call.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}
