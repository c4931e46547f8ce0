//! What runs: releases, what they resolve to, and how much of one is wanted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{InstanceId, ReleaseId, SetId};

/// The name of a secret in a [`SecretSource`](crate::ports::SecretSource); never its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(pub String);

/// One immutable version of a workload. The content of `config` belongs to the target that runs it,
/// which parses it in [`prepare`](crate::ports::Target::prepare) and refuses what it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its name; also the name of the set that runs it.
    pub id: ReleaseId,
    /// What to run as the user wrote it: an executable, an image reference, a template name.
    pub artifact: String,
    /// Everything else that makes this version: arguments, environment, ports, template.
    #[serde(default)]
    pub config: serde_json::Value,
    /// Secrets that the target resolves each time it starts an instance.
    #[serde(default)]
    pub secrets: Vec<SecretRef>,
}

/// What a release resolved to, once and for all: tags, paths and names are looked up a single time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The identity that each instance must show: a registry digest, else an image id; for processes a hash of
    /// executable, arguments and config.
    pub digest: Arc<str>,
    /// What the target needs to start exactly this again.
    #[serde(default)]
    pub detail: serde_json::Value,
}

/// A release with the artifact that it was resolved to. It is journaled whole, so that old instances can be made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedRelease {
    /// The release as the user gave it.
    pub release: Release,
    /// What it resolved to.
    pub artifact: Artifact,
}

/// "This set has `replicas` instances; these go first." A level, not a change: saying it twice is saying it once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SetSpec {
    /// Which set.
    pub set: SetId,
    /// How many instances that are starting or running; those that are stopping or have ended do not count.
    pub replicas: u32,
    /// Which instances go first when the set shrinks. Where the target
    /// [pins victims](super::TargetCapabilities::pins_victims) no other instance goes while one of these is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_first: Vec<InstanceId>,
}
