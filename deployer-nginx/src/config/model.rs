//! The configuration of one workload, as values.

use std::net::SocketAddr;

use deployer_core::model::{RouteMatch, WorkloadId};

use crate::settings::Stickiness;

/// The configuration of one workload: everything that a switch changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadConfig {
    /// Whose.
    pub workload: WorkloadId,
    /// What the marker answers once this configuration runs.
    pub generation: u64,
    /// Where requests can go.
    pub upstreams: Vec<Upstream>,
    /// Where requests go that no route matches.
    pub selection: Selection,
    /// What selects an upstream whatever the weights say; the first match wins.
    pub routes: Vec<RouteConfig>,
    /// Clients carry a number in a cookie.
    pub stickiness: Option<Stickiness>,
    /// nginx answers all requests itself, with status 503.
    pub closed: Option<Closed>,
}

/// A group of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name: lower case letters, digits and `_`.
    pub name: String,
    /// Size of the memory that all workers share for it, in KiB.
    pub zone_kibibytes: u32,
    /// Its members; at least one that is not down.
    pub members: Vec<UpstreamMember>,
    /// Connections that are kept; none means a new one per request.
    pub keepalive: Option<Keepalive>,
}

/// One member of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamMember {
    /// Where it answers.
    pub address: SocketAddr,
    /// Its parts of the sum of all weights, at least 1.
    pub weight: u64,
    /// It gets nothing.
    pub down: bool,
    /// After how many failures it is left out; 0 for never.
    pub max_fails: u32,
    /// For how many seconds.
    pub fail_timeout_seconds: u64,
}

/// Connections to members that are kept while unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// How many in each worker, at least 1.
    pub connections: u32,
    /// For how many milliseconds.
    pub idle_milliseconds: u64,
}

/// Where requests go that no route matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Nowhere: all requests are answered by nginx itself.
    Nobody,
    /// To this upstream.
    Upstream(String),
    /// To one of several.
    Split {
        /// What decides.
        key: SplitKey,
        /// All but the last.
        parts: Vec<SplitPart>,
        /// Who gets the rest.
        rest: String,
    },
}

/// What decides between the parts of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitKey {
    /// A random number of the request.
    Request,
    /// The number of the client.
    Client,
}

/// A part of all requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitPart {
    /// In hundredths of a percent, 1 to 9999.
    pub hundredths: u16,
    /// Who gets it.
    pub upstream: String,
}

/// Requests that match go to this upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConfig {
    /// What selects them.
    pub matches: RouteMatch,
    /// Where they go.
    pub upstream: String,
}

/// What is answered while nobody serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Seconds for the `Retry-After` header; without it there is none.
    pub retry_after_seconds: Option<u32>,
    /// Plain text for the body.
    pub message: String,
}
