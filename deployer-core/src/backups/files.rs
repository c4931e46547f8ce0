//! A file, or a directory with all that is in it, as a provider.

use std::path::PathBuf;

use async_trait::async_trait;

use super::tree::{Tree, What};
use crate::{
    error::Problem,
    model::BackupKey,
    ports::{
        Backup, BackupProvider, BackupRequest, CallContext, Confirmation, Preflight, RestoreReport,
        RestoreTo, Result, VerifyLevel,
    },
};

/// Backups of a directory with all that is in it: files, directories and symbolic links with their owner, rights and
/// time of change. A link is kept as a link and never followed; a file with several names becomes several files.
/// Sockets, pipes and devices are refused by name. Extended attributes and access lists are not kept.
///
/// What changes while it is read is read again, three times at most. A database that runs is not backed up like this:
/// its files may be those of different moments without any of them changing while it is read.
///
/// Each backup is a directory `<store>/<key>/` with `archive.tar` and `manifest.json`. A restore is made beside the
/// directory, compared entry by entry, and swapped in by exchanging two names; what was there is kept as
/// `<name>.before-restore-<deployment>`. Use a store on another disk.
///
/// ```
/// use deployer_core::backups::DirectoryBackup;
///
/// let uploads = DirectoryBackup::new("shop/production/uploads", "/srv/shop/uploads", "/backup/shop");
/// assert!(uploads.is_ok());
/// let problems = DirectoryBackup::new("shop", "uploads", "/srv/../backup").unwrap_err();
/// assert_eq!(problems.len(), 2, "all at once");
/// ```
#[derive(Debug, Clone)]
pub struct DirectoryBackup(Tree);

/// Backups of one file. As [`DirectoryBackup`], with a file in the place of the directory.
#[derive(Debug, Clone)]
pub struct FileBackup(Tree);

impl DirectoryBackup {
    /// Backs up a directory to a store. `source` names the data over releases and hosts; only backups of the same
    /// source are listed, pruned and restored. The store is made if there is none.
    ///
    /// # Errors
    /// All that is wrong with the settings, at once.
    pub fn new(
        source: impl Into<String>,
        directory: impl Into<PathBuf>,
        store: impl Into<PathBuf>,
    ) -> std::result::Result<Self, Vec<Problem>> {
        Tree::new(What::Directory, source.into(), directory.into(), store.into()).map(Self)
    }
}

impl FileBackup {
    /// Backs up a file to a store. As [`DirectoryBackup::new`].
    ///
    /// # Errors
    /// All that is wrong with the settings, at once.
    pub fn new(
        source: impl Into<String>,
        file: impl Into<PathBuf>,
        store: impl Into<PathBuf>,
    ) -> std::result::Result<Self, Vec<Problem>> {
        Tree::new(What::File, source.into(), file.into(), store.into()).map(Self)
    }
}

macro_rules! provider {
    ($($name:ident),*) => {$(
        #[async_trait]
        impl BackupProvider for $name {
            async fn preflight(&self, context: &CallContext) -> Result<Preflight> {
                self.0.preflight(context).await
            }

            async fn create(&self, context: &CallContext, request: &BackupRequest) -> Result<Backup> {
                self.0.create(context, request).await
            }

            async fn verify(&self, context: &CallContext, backup: &Backup, level: VerifyLevel) -> Result<Backup> {
                self.0.verify(context, backup, level).await
            }

            async fn restore(
                &self,
                context: &CallContext,
                backup: &Backup,
                to: &RestoreTo,
                confirmation: &Confirmation,
            ) -> Result<RestoreReport> {
                self.0.restore(context, backup, to, confirmation).await
            }

            async fn list(&self, context: &CallContext) -> Result<Vec<Backup>> {
                self.0.list(context).await
            }

            async fn prune(&self, context: &CallContext, keep: u32, referenced: &[BackupKey]) -> Result<Vec<Backup>> {
                self.0.prune(context, keep, referenced).await
            }
        }
    )*};
}

provider!(DirectoryBackup, FileBackup);
