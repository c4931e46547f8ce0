//! Suites that tell whether an implementation of a port keeps its contract, for those who write one.
mod check;
mod report;
mod router;
mod scope;
mod target;

pub use report::{CheckOutcome, CheckReport, ConformanceReport};
pub use router::{Answer, Ask, Backends, Held, RouterRig, router};
pub use target::{RealInstance, ReleaseKind, TargetRig, target};
