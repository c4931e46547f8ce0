//! How sets answer, as the embedded proxy counts.

use std::time::Duration;

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{SetId, WorkloadId},
    ports::{CallContext, Counts, MetricSource, Result},
};
use http::Method;

use crate::{
    client::{Call, Client},
    protocol::CountsQuery,
};

/// How the sets of one workload answer, as its proxy counts. What a helper counted is gone when it is: then there is
/// no data until the next requests.
#[derive(Debug, Clone)]
pub struct LocalMetrics {
    client: Client,
    workload: WorkloadId,
}

impl LocalMetrics {
    pub(crate) fn new(client: Client, workload: WorkloadId) -> Self {
        Self { client, workload }
    }
}

#[async_trait]
impl MetricSource for LocalMetrics {
    async fn counts(&self, context: &CallContext, set: &SetId, interval: Duration) -> Result<Counts> {
        let operation = format!("count answers of set {set} of {}", self.workload);
        if context.workload != self.workload {
            let message = format!("this source counts for {}, not {}", self.workload, context.workload);
            return Err(BackendError::new(ErrorKind::InvalidInput, operation, message));
        }
        let path = format!("/v1/workloads/{}/counts", self.workload);
        let call = Call { operation, method: Method::POST, path: &path, deadline: context.deadline };
        let interval_millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        self.client.send(call, &CountsQuery { set: set.clone(), interval_millis }).await
    }
}
