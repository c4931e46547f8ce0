//! Who gets which requests.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{InstanceId, SetId};

/// One instance in rotation. Routers by address use the address, routers by label the id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Which instance.
    pub instance: InstanceId,
    /// Where it answers; `None` for routers by label.
    pub address: Option<SocketAddr>,
}

/// One set's share of the requests: `weight` parts of the sum of all weights (as in the Gateway API),
/// spread evenly over its members.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Share {
    /// Which set.
    pub set: SetId,
    /// Parts of the sum of all weights. A set of weight 0 is reached by [routes](Route) only.
    pub weight: u32,
    /// Its instances in rotation, sorted by id.
    pub members: Vec<Member>,
}

/// What in a request selects a set whatever the weights say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RouteMatch {
    /// A header with exactly this value.
    Header {
        /// Header name, compared without case.
        name: String,
        /// Its value, compared exactly.
        value: String,
    },
    /// A cookie with exactly this value.
    Cookie {
        /// Cookie name.
        name: String,
        /// Its value, compared exactly.
        value: String,
    },
}

/// Requests that match go to this set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// What selects them.
    pub matches: RouteMatch,
    /// Where they go.
    pub set: SetId,
}

/// What the router answers while nothing may serve.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Seconds for the `Retry-After` header.
    pub retry_after_seconds: u32,
    /// Plain text for the body.
    pub message: String,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { retry_after_seconds: 5, message: "down for maintenance".to_owned() }
    }
}

/// The whole traffic of a workload, applied in one atomic step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Requests go to sets.
    Serve {
        /// Sets, their weights and members; no two of one set.
        shares: Vec<Share>,
        /// Overrides, first match wins.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        routes: Vec<Route>,
    },
    /// Requests are answered by the router itself, with status 503.
    Maintenance(Maintenance),
}

impl Split {
    /// A split that sends nothing anywhere: what a router has before anything was applied.
    pub const EMPTY: Self = Self::Serve { shares: Vec::new(), routes: Vec::new() };

    /// The shares; none under maintenance.
    pub fn shares(&self) -> &[Share] {
        match self {
            Self::Serve { shares, .. } => shares,
            Self::Maintenance(_) => &[],
        }
    }

    /// The share of one set.
    pub fn share(&self, set: &SetId) -> Option<&Share> {
        self.shares().iter().find(|share| share.set == *set)
    }

    /// The sum of all weights.
    pub fn total_weight(&self) -> u64 {
        self.shares().iter().map(|share| u64::from(share.weight)).sum()
    }
}

/// Whether the data plane follows the split that was accepted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Every request from now on follows it.
    Proven {
        /// The data plane's own number for it.
        generation: u64,
    },
    /// Not yet.
    Pending,
    /// This router cannot know; wait for the settle time.
    CannotKnow,
}

/// What a router says about a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficView {
    /// The split that was accepted last.
    pub split: Split,
    /// Whether the data plane follows it.
    pub proof: Proof,
}

/// Requests that an instance is still answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InFlight {
    /// Exactly this many.
    Known(u32),
    /// The router cannot count them.
    Unknown,
}
