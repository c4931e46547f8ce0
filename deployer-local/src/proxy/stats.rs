//! What is counted, as data.

use std::net::SocketAddr;

use deployer_core::model::{InstanceId, SetId};
use serde::{Deserialize, Serialize};

use super::Histogram;

/// What one member is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct MemberLoad {
    /// Requests whose answer has not ended.
    pub requests: u32,
    /// Upgraded connections and streams of server-sent events.
    pub tunnels: u32,
}

impl MemberLoad {
    /// Whether it is busy with nothing.
    pub fn is_idle(self) -> bool {
        self.requests == 0 && self.tunnels == 0
    }
}

/// Everything that a proxy has counted since it started. Counters only grow; take differences.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProxyStats {
    /// Random, drawn when the proxy starts. If it changed all counters began at zero again.
    pub epoch: u64,
    /// Generation of the split in force.
    pub generation: u64,
    /// Per set, those that left the split too, in order of their first split.
    pub sets: Vec<SetStats>,
    /// Per member of the split, and those that left it and are still busy.
    pub members: Vec<MemberStats>,
    /// Answered by the proxy itself.
    pub own: OwnAnswers,
}

/// How one set answered. A request counts for the set that was picked for it first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetStats {
    /// Which set.
    pub set: SetId,
    /// Requests whose outcome is known: the head of an answer, or that there will be none.
    pub total: u64,
    /// Those that failed: status 5xx, no answer, or an answer that broke off.
    pub bad: u64,
    /// Attempts after the first one.
    pub retried: u64,
    /// Requests whose client left before the end of the answer. Those that left before its head are not in `total`.
    pub client_gone: u64,
    /// Connections that members refused or did not take in time.
    pub refused: u64,
    /// Time from the head of the request to the head of the answer.
    pub time: Histogram,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStats {
    /// Of which set.
    pub set: SetId,
    /// Which instance.
    pub instance: InstanceId,
    /// Where it answers.
    pub address: SocketAddr,
    /// Whether it is in the split.
    pub in_split: bool,
    /// Requests whose answer has not ended.
    pub in_flight: u32,
    /// Upgraded connections and streams of server-sent events.
    pub tunnels: u32,
    /// Whether it is passed over at the moment because it refused connections.
    pub ejected: bool,
}

/// Requests that no member got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OwnAnswers {
    /// Answered with 503 under maintenance.
    pub maintenance: u64,
    /// Answered with 503 because the split sends them nowhere.
    pub unrouted: u64,
    /// Refused with 4xx or 501: not acceptable as HTTP.
    pub rejected: u64,
}
