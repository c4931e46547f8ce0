//! Copies of data that can be brought back.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{CallContext, Result};
use crate::model::Timestamp;

/// What to back up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// Names this backup for ever: the same key means the same backup.
    pub key: String,
    /// Why it is made, for the manifest.
    pub reason: String,
}

/// A backup that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The key that it was made for.
    pub key: String,
    /// When it was complete.
    pub created_at: Timestamp,
    /// Size in bytes.
    pub bytes: u64,
    /// Checksum of its content, with the algorithm in front: `sha256:…`.
    pub checksum: String,
    /// What was backed up, so that a foreign backup is not restored: application, environment, schema version.
    pub source: String,
    /// Up to which level it was verified.
    pub verified: Option<VerifyLevel>,
}

/// How thoroughly a backup was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLevel {
    /// It exists and has a plausible size.
    Exists,
    /// Every byte was read and the checksum is right.
    Checksum,
    /// Its own tool can list what is in it.
    Listed,
    /// It was restored to a scratch place and looked at there.
    Restored,
}

/// A new place to restore to; never one that holds data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlace(pub String);

/// Said by a person or a policy before a restore takes the place of live data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The key of the backup, repeated.
    pub key: String,
}

/// Copies of data that can be brought back. A restore goes to a new place and is swapped in, never over live data.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BackupProvider: std::fmt::Debug + Send + Sync + 'static {
    /// Makes sure that a backup could be made and restored now: tools, versions, rights, room.
    ///
    /// # Errors
    /// All that is missing, in the message.
    async fn preflight(&self, context: &CallContext) -> Result<()>;

    /// Makes a backup. Returns when it is complete and durable.
    ///
    /// # Errors
    /// It could not be made; nothing half-made keeps the key.
    ///
    /// # Idempotence
    /// By key: a complete backup of this key is returned as it is.
    async fn create(&self, context: &CallContext, request: &BackupRequest) -> Result<Backup>;

    /// Looks at a backup as thoroughly as asked, and records that it did.
    ///
    /// # Errors
    /// It is not what it should be.
    async fn verify(&self, context: &CallContext, backup: &Backup, level: VerifyLevel) -> Result<Backup>;

    /// Restores a backup to a new place and swaps it in.
    ///
    /// # Errors
    /// The confirmation names another key, the place holds data, or the restore failed; live data is then as before.
    ///
    /// # Idempotence
    /// A place that already holds exactly this restore is swapped in as it is.
    async fn restore(
        &self,
        context: &CallContext,
        backup: &Backup,
        to: &RestorePlace,
        confirmation: &Confirmation,
    ) -> Result<()>;

    /// All complete backups, oldest first.
    ///
    /// # Errors
    /// They could not be listed.
    async fn list(&self, context: &CallContext) -> Result<Vec<Backup>>;

    /// Removes all but the newest `keep` backups; never the last verified one, never one whose key is in `referenced`.
    /// Returns what was removed.
    ///
    /// # Errors
    /// They could not be listed or removed.
    async fn prune(&self, context: &CallContext, keep: u32, referenced: &[String]) -> Result<Vec<Backup>>;
}
