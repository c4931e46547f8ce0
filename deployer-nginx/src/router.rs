//! The router of a workload, of the kind that its nginx can have.

use std::sync::Arc;

use deployer_core::{model::WorkloadId, ports::TrafficRouter};

use crate::{LiveRouter, ReloadRouter, choice::RouterKind, server::Server};

impl Server {
    /// The router of a workload, of the [kind that was chosen](Self::choice).
    pub fn router(&self, workload: WorkloadId) -> Arc<dyn TrafficRouter> {
        match self.choice().kind {
            RouterKind::Live => Arc::new(LiveRouter::new(self, workload)),
            RouterKind::Reload => Arc::new(ReloadRouter::new(self.clone(), workload)),
        }
    }
}
