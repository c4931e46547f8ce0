//! What backends can do, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a [`Target`](crate::ports::Target) can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCapabilities {
    /// A shrinking set loses exactly the instances named in `remove_first`. Without it rolling is refused.
    pub pins_victims: bool,
    /// The platform puts instances that are ready into rotation by itself; its readiness is the verification.
    pub admits_itself: bool,
    /// The platform replaces one release by the next itself; only the `delegated` strategy applies.
    pub delegates: bool,
    /// A set that was adopted without a release can be made larger.
    pub grows_adopted: bool,
    /// Two sets cannot run side by side, and why: a fixed port, a volume. Forces stop-first.
    pub exclusive: Option<String>,
    /// The target refuses calls that carry an older epoch.
    pub fences: bool,
    /// The longest a stopping instance may live before the platform kills it.
    pub stop_grace: Duration,
}

/// What a [`TrafficRouter`](crate::ports::TrafficRouter) can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterCapabilities {
    /// Weights other than "evenly over all members".
    pub weights: bool,
    /// Routes by header.
    pub header_routes: bool,
    /// Routes by cookie.
    pub cookie_routes: bool,
    /// Maintenance answers.
    pub maintenance: bool,
    /// Members are chosen one by one. Without it a share means the whole set.
    pub members: bool,
    /// Proofs are real; else every proof is [`CannotKnow`](super::Proof::CannotKnow).
    pub proves: bool,
    /// Requests in flight are counted.
    pub counts_in_flight: bool,
    /// The router refuses calls that carry an older epoch.
    pub fences: bool,
}
