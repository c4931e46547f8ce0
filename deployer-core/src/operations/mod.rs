//! What can be known and asked of a workload without the process that deploys it.
//!
//! Everything is read from the [journal](crate::ports::Journal), so it also works when that process is gone, and
//! nothing is ever written but requests.

mod ask;
mod error;
mod history;
mod progress;
mod reading;
mod show;
mod status;

pub use ask::{Asked, Operations};
pub use error::OperationError;
pub use history::{HistoryEntry, PastDeployment, PastRelease};
pub use progress::{OpenDeployment, OpenRequest, OpenRollout, OpenStage};
pub use status::{LiveRelease, LockStatus, Status, Unreadable};
