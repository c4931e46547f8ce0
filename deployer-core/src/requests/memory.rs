//! Requests in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    model::{DeploymentId, WorkloadId},
    ports::{PostedRequest, RequestError, RequestStore},
    strategy::{Posted, RequestKind},
};

/// Requests in memory. Clones share them; another process knows nothing of them.
#[derive(Debug, Clone, Default)]
pub struct MemoryRequests(Arc<Mutex<BTreeMap<DeploymentId, Vec<PostedRequest>>>>);

impl MemoryRequests {
    /// Nothing was asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<DeploymentId, Vec<PostedRequest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RequestStore for MemoryRequests {
    async fn post(
        &self,
        _home: &WorkloadId,
        deployment: &DeploymentId,
        kind: &RequestKind,
        by: &str,
    ) -> Result<u64, RequestError> {
        let mut kept = self.kept();
        let requests = kept.entry(deployment.clone()).or_default();
        let number = requests.len() as u64 + 1;
        requests.push(PostedRequest { posted: Posted { number, by: by.to_owned() }, kind: kind.clone() });
        Ok(number)
    }

    async fn since(
        &self,
        _home: &WorkloadId,
        deployment: &DeploymentId,
        number: u64,
    ) -> Result<Vec<PostedRequest>, RequestError> {
        let kept = self.kept();
        let requests = kept.get(deployment).into_iter().flatten();
        Ok(requests.filter(|request| request.posted.number > number).cloned().collect())
    }
}
