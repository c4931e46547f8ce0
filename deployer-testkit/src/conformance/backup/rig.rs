//! What the backup suite needs to know of an implementation.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::ports::{Backup, BackupProvider, RestorePlace, VerifyLevel};

/// What a rig is asked to do to the stored bytes of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Damage {
    /// A byte is another one; the size stays.
    Flipped,
    /// The end is missing.
    Cut,
}

/// What the [backup suite](super::backup) needs to know of an implementation.
#[async_trait]
pub trait BackupRig: Debug + Send + Sync {
    /// A provider whose data and backups nobody else uses: each time a new one, with some data and without backups.
    async fn stand(&self) -> Arc<dyn BackupStand>;

    /// How long a call may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// One provider with its data. What a stand cannot do it leaves out; the checks that need it are then reported as not
/// applicable.
#[async_trait]
pub trait BackupStand: Debug + Send + Sync {
    /// The provider.
    fn provider(&self) -> Arc<dyn BackupProvider>;

    /// Makes the live data other than it ever was.
    async fn change(&self);

    /// The live data, as something that can be compared: its content, or a checksum that the rig computes itself.
    async fn live(&self) -> Vec<u8>;

    /// What is at a place, in the same form as [`live`](Self::live); `None` if nothing is.
    async fn content(&self, place: &RestorePlace) -> Option<Vec<u8>>;

    /// A place that holds nothing, to restore to; another one each time.
    fn place(&self) -> RestorePlace;

    /// Whether a restore can take the place of the live data. If not, it has to be refused.
    fn restores_live(&self) -> bool {
        true
    }

    /// How thoroughly this provider can look. All other levels have to be refused.
    fn levels(&self) -> Vec<VerifyLevel> {
        vec![VerifyLevel::Exists, VerifyLevel::Checksum, VerifyLevel::Listed, VerifyLevel::Restored]
    }

    /// Puts data of others into a place. Whether it could be done.
    async fn occupy(&self, place: &RestorePlace) -> bool {
        let _ = place;
        false
    }

    /// Damages what was stored of a backup. Whether it could be done.
    async fn corrupt(&self, backup: &Backup, damage: Damage) -> bool {
        let _ = (backup, damage);
        false
    }

    /// A provider with the same store and another source, which has data.
    fn foreign(&self) -> Option<Arc<dyn BackupProvider>> {
        None
    }

    /// A provider with the same store and source that cannot make a backup, best one that fails half-way.
    fn failing(&self) -> Option<Arc<dyn BackupProvider>> {
        None
    }

    /// A provider with the same store and source that needs a secret of this value: to make a backup or, if it `fails`,
    /// to fail at it while it has the secret in its hands.
    fn with_secret(&self, value: &str, fails: bool) -> Option<Arc<dyn BackupProvider>> {
        let _ = (value, fails);
        None
    }

    /// Everything that the provider has stored, manifests too, as bytes that can be compared and searched.
    async fn stored(&self) -> Option<Vec<u8>> {
        None
    }

    /// Ends what belongs to it.
    async fn clean_up(&self) {}
}
