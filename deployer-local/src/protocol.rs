//! What goes over the helper's socket: HTTP/1.1 with JSON, so that `curl --unix-socket` works.

use std::{collections::BTreeMap, net::SocketAddr};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{DeploymentId, Epoch, InstanceId, Member, SetId, Split},
};
use serde::{Deserialize, Serialize};

use crate::{identity::ContentHash, proxy::ProxySettings, spec::ProcessSpec};

/// The version of this protocol; an answer of another one is refused.
pub(crate) const PROTOCOL: u32 = 1;

/// The header in which each answer carries [`PROTOCOL`].
pub(crate) const PROTOCOL_HEADER: &str = "deployer-protocol";

/// The largest body either side reads.
pub(crate) const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// `GET /v1/helper`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HelperInfo {
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) host: String,
}

/// `PUT /v1/workloads/{workload}/sets/{set}`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplySet {
    pub(crate) deployment: DeploymentId,
    pub(crate) epoch: Epoch,
    pub(crate) spec: ProcessSpec,
    pub(crate) content: ContentHash,
    pub(crate) digest: String,
    pub(crate) replicas: u32,
    #[serde(default)]
    pub(crate) remove_first: Vec<InstanceId>,
    /// Values by name of the environment variable. No `Debug` here, so that they are never printed.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, String>,
}

/// `DELETE /v1/workloads/{workload}/sets/{set}`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveSet {
    pub(crate) epoch: Epoch,
}

/// `GET /v1/ports/{port}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PortUse {
    Free,
    Instance { workload: String, instance: InstanceId },
    Taken,
}

/// `PUT /v1/workloads/{workload}/listener`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BindListener {
    pub(crate) listen: SocketAddr,
    #[serde(default)]
    pub(crate) settings: ProxySettings,
}

/// The answer to [`BindListener`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BoundListener {
    pub(crate) address: SocketAddr,
}

/// `PUT /v1/workloads/{workload}/split`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplySplit {
    pub(crate) epoch: Epoch,
    pub(crate) listen: SocketAddr,
    #[serde(default)]
    pub(crate) settings: ProxySettings,
    pub(crate) split: Split,
}

/// `POST /v1/workloads/{workload}/in-flight`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InFlightQuery {
    pub(crate) members: Vec<Member>,
}

/// `POST /v1/workloads/{workload}/counts`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountsQuery {
    pub(crate) set: SetId,
    pub(crate) interval_millis: u64,
}

/// `POST /v1/shutdown`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shutdown {
    pub(crate) instances: crate::host::OnShutdown,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn into_error(self, operation: &str) -> BackendError {
        BackendError::new(self.kind, operation, self.message)
    }
}
