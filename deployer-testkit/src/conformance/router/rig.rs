//! What the router suite needs to know of an implementation.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    model::{InstanceId, Member, SetId, WorkloadId},
    ports::TrafficRouter,
};

/// A request that a rig sends through the router's data plane, as a client would.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    /// Headers of the request, cookies included.
    pub headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its HTTP status; 0 if there was no answer at all.
    pub status: u16,
    /// Which member answered; `None` if it was the router itself, or nobody.
    pub by: Option<InstanceId>,
}

/// A request that is being answered for as long as this is kept. Dropping it lets the member answer.
pub trait Held: Debug + Send {
    /// Which member is answering it.
    fn by(&self) -> InstanceId;
}

/// What the [router suite](super::router) needs to know of an implementation. What a rig cannot do it leaves out; the
/// checks that need it are then reported as not applicable.
///
/// For routers that reach addresses of this host [`Backends`](super::Backends) has members that answer.
#[async_trait]
pub trait RouterRig: Debug + Send + Sync {
    /// The router that serves this workload. Each check takes a workload of its own, which nothing was routed for before.
    async fn router(&self, workload: &WorkloadId) -> Arc<dyn TrafficRouter>;

    /// So many members of a set that answer, sorted by id, others with each call. Where the router is
    /// [not told members](deployer_core::model::RouterCapabilities::members), the set has to be there when this returns.
    async fn members(&self, workload: &WorkloadId, set: &SetId, count: usize) -> Vec<Member>;

    /// Sends one request on a connection of its own and waits for the answer; `None` if the rig cannot.
    async fn ask(&self, workload: &WorkloadId, ask: &Ask) -> Option<Answer> {
        let _ = (workload, ask);
        None
    }

    /// Sends one request that a member keeps answering; `None` if the rig cannot.
    async fn hold(&self, workload: &WorkloadId) -> Option<Box<dyn Held>> {
        let _ = workload;
        None
    }

    /// Removes everything of a workload, whatever state a check left it in.
    async fn clean_up(&self, workload: &WorkloadId) {
        let _ = workload;
    }

    /// How long a proof may take, or anything else until it is seen. Also the deadline of each call.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// How long to wait after a switch that the router cannot prove.
    fn settle(&self) -> Duration {
        Duration::from_secs(2)
    }
}
