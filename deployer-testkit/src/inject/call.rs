//! One call through a wrapped port.

use std::fmt;

/// Which port a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PortKind {
    /// `Target`.
    Target,
    /// `TrafficRouter`.
    Router,
    /// `HealthCheck`.
    Health,
    /// `Journal`.
    Journal,
    /// `Lock`.
    Lock,
    /// No port, but what a stage of one's own does: a test that asks the injector itself calls it so.
    Stage,
}

/// One call through a wrapped port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortCall {
    /// To which port.
    pub port: PortKind,
    /// Name of the method.
    pub operation: &'static str,
    /// Its number among all calls of this method through this wrapper, from 1.
    pub number: u64,
    /// What it is about: the kind of a record, a set, an instance.
    pub about: String,
}

impl fmt::Display for PortCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{} number {} ({})", self.port, self.operation, self.number, self.about)
    }
}
