//! Copies of data that can be brought back.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{CallContext, Result};
use crate::{
    error::Problem,
    model::{BackupKey, Timestamp},
};

/// What to back up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// Names this backup for ever: the same key means the same backup.
    pub key: BackupKey,
    /// Why it is made, for the manifest.
    pub reason: String,
}

/// Whose data it is. A backup is restored only where this is the same, so it names what stays the same over releases
/// and hosts: never a schema version or a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSource {
    /// How it is backed up, for what one kind made another cannot read: `directory`, `postgres-logical`.
    pub kind: String,
    /// Which data: `shop/production/uploads`, or what the database itself says it is.
    pub identity: String,
}

impl fmt::Display for BackupSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.identity)
    }
}

/// A backup that exists. It is written to the manifest beside the data and to the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The key that it was made for.
    pub key: BackupKey,
    /// Why it was made.
    pub reason: String,
    /// What was written after this moment may be missing in it: where the loss begins if it is restored.
    pub as_of: Timestamp,
    /// When it was complete.
    pub created_at: Timestamp,
    /// Size in bytes of what is stored.
    pub bytes: u64,
    /// Checksum of what is stored, with the algorithm in front: `sha256:…`.
    pub checksum: String,
    /// What was backed up, so that a foreign backup is not restored.
    pub source: BackupSource,
    /// What else the provider wants to be known: server version, schema version, restore point. No secrets.
    pub details: BTreeMap<String, String>,
    /// Up to which level it was verified and found whole; none if never, or if the last look found damage.
    pub verified: Option<VerifyLevel>,
}

/// How thoroughly a backup was looked at. A level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLevel {
    /// It exists and has the right size. No proof that it is good.
    Exists,
    /// Every byte was read and the checksum is right. The least that makes a backup a good one.
    Checksum,
    /// It was read to its end by what understands its format.
    Listed,
    /// It was restored to a scratch place and looked at there.
    Restored,
}

impl VerifyLevel {
    /// Whether a backup that was verified to this level counts as a good one: not if it merely exists.
    pub fn is_proof(self) -> bool {
        self >= Self::Checksum
    }
}

/// What a look before the start found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// All that keeps a backup from being made or restored, at once. None: it could be made now.
    pub problems: Vec<Problem>,
    /// Whose data it would be, where that can be told.
    pub source: Option<BackupSource>,
    /// How large it would be, in bytes, where that can be told.
    pub estimated_bytes: Option<u64>,
    /// How much room there is for it, in bytes, where that can be told.
    pub free_bytes: Option<u64>,
}

impl Preflight {
    /// Whether a backup could be made now.
    pub fn is_ready(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The name of a place as the provider knows it: a path, a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlace(pub String);

/// Where a restore goes. There is no way to restore into data that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreTo {
    /// To this place, where nothing is yet, for a drill or to look something up.
    New(RestorePlace),
    /// To a new place first, which then takes the place of the data that was backed up. That is kept under another name.
    Live,
}

/// Said by a person or a policy before a restore takes the place of live data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The key of the backup, repeated.
    pub key: BackupKey,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Which backup.
    pub key: BackupKey,
    /// Where its data is now.
    pub place: RestorePlace,
    /// Where the data is kept that was there before. It stays until a person removes it.
    pub kept: Option<RestorePlace>,
    /// What was written to the kept data after this moment may be missing in the restored.
    pub as_of: Timestamp,
}

/// Copies of data that can be brought back. A restore goes to a new place and is swapped in, never over live data.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BackupProvider: std::fmt::Debug + Send + Sync + 'static {
    /// Looks whether a backup could be made and restored now: tools, versions, rights, room. Changes nothing.
    ///
    /// # Errors
    /// It could not be found out. What is missing is no error but in the answer.
    async fn preflight(&self, context: &CallContext) -> Result<Preflight>;

    /// Makes a backup. Returns when it is complete and durable.
    ///
    /// # Errors
    /// It could not be made; nothing half-made keeps the key. `AlreadyExists` if the key is that of a backup of another
    /// source.
    ///
    /// # Idempotence
    /// By key: a complete backup of this key is returned as it is.
    async fn create(&self, context: &CallContext, request: &BackupRequest) -> Result<Backup>;

    /// Looks at a backup as thoroughly as asked, records that it did, and returns the backup as it is recorded now.
    ///
    /// # Errors
    /// It is not what it should be, and counts as unverified from now on; `NotFound` if it is gone, `Unsupported` if
    /// this provider cannot look so closely.
    async fn verify(&self, context: &CallContext, backup: &Backup, level: VerifyLevel) -> Result<Backup>;

    /// Restores a backup to a new place, looks at it there, and swaps it in if asked.
    ///
    /// # Errors
    /// The confirmation names another key, the backup is of another source or damaged, the new place holds data, or the
    /// restore failed; live data is then as before.
    ///
    /// # Idempotence
    /// By deployment, backup and place: what was swapped in for them is not swapped in again.
    async fn restore(
        &self,
        context: &CallContext,
        backup: &Backup,
        to: &RestoreTo,
        confirmation: &Confirmation,
    ) -> Result<RestoreReport>;

    /// All complete backups of this source, oldest first.
    ///
    /// # Errors
    /// They could not be listed.
    async fn list(&self, context: &CallContext) -> Result<Vec<Backup>>;

    /// Removes all but the newest `keep` backups of this source; never the newest one that was
    /// [proven](VerifyLevel::is_proof) good (the newest at all if none was), never one whose key is in `referenced`.
    /// Returns what was removed.
    ///
    /// # Errors
    /// They could not be listed or removed.
    async fn prune(&self, context: &CallContext, keep: u32, referenced: &[BackupKey]) -> Result<Vec<Backup>>;
}
