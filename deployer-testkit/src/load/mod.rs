//! An open-loop load generator that does not flatter: the schedule is fixed before the first answer, latency counts
//! from the scheduled moment, nothing is ever tried twice, and what could not be sent is a failure.

mod builder;
mod exchange;
mod failure;
mod handle;
mod histogram;
mod kept;
mod mix;
mod outcome;
mod tally;
mod ticker;

pub use builder::{Load, LoadBuilder, LoadError};
pub use failure::{Failure, FailureKind};
pub use handle::LoadHandle;
pub use histogram::Histogram;
pub use mix::{Mix, RequestShape};
pub use outcome::{LoadResult, VersionResult};
