//! What the tests share.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use deployer_core::{
    backups::DirectoryBackup,
    model::{BackupKey, DeploymentId, Epoch, WorkloadId},
    ports::{Backup, BackupProvider, BackupRequest, CallContext, Confirmation, RestorePlace, RestoreTo},
};
use tempfile::TempDir;

pub(crate) fn context(deployment: &str) -> CallContext {
    within(deployment, Duration::from_secs(60))
}

pub(crate) fn within(deployment: &str, deadline: Duration) -> CallContext {
    CallContext {
        workload: WorkloadId::new("shop").unwrap(),
        deployment: DeploymentId::new(deployment).unwrap(),
        epoch: Epoch(1),
        deadline,
    }
}

pub(crate) fn key(text: &str) -> BackupKey {
    BackupKey::new(text).unwrap()
}

pub(crate) fn request(text: &str) -> BackupRequest {
    BackupRequest { key: key(text), reason: format!("before {text}") }
}

pub(crate) async fn create(provider: &dyn BackupProvider, text: &str) -> Backup {
    provider.create(&context(text), &request(text)).await.unwrap()
}

pub(crate) fn confirmed(backup: &Backup) -> Confirmation {
    Confirmation { key: backup.key.clone() }
}

pub(crate) fn new_place(path: &Path) -> RestoreTo {
    RestoreTo::New(RestorePlace(path.to_str().unwrap().to_owned()))
}

/// A directory with `live/` in it, and a provider that backs it up to `store/`.
pub(crate) fn live() -> (TempDir, DirectoryBackup) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("live/deep")).unwrap();
    std::fs::write(directory.path().join("live/a"), "old").unwrap();
    std::fs::write(directory.path().join("live/deep/b"), "old too").unwrap();
    let provider = provider(directory.path());
    (directory, provider)
}

pub(crate) fn provider(directory: &Path) -> DirectoryBackup {
    DirectoryBackup::new("shop/test", directory.join("live"), directory.join("store")).unwrap()
}

/// All that a restore has to bring back of a path: kind, rights, owner, time of change, content.
pub(crate) type Snapshot = BTreeMap<PathBuf, (u32, u32, u32, i64, i64, Vec<u8>)>;

pub(crate) fn snapshot(root: &Path) -> Snapshot {
    fn visit(root: &Path, path: &Path, found: &mut Snapshot) {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_dir() {
            for child in std::fs::read_dir(path).unwrap() {
                visit(root, &child.unwrap().path(), found);
            }
            Vec::new()
        } else if metadata.is_symlink() {
            std::fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            std::fs::read(path).unwrap()
        };
        let below = path.strip_prefix(root).unwrap().to_owned();
        let (mode, owner, group) = (metadata.mode(), metadata.uid(), metadata.gid());
        found.insert(below, (mode, owner, group, metadata.mtime(), metadata.mtime_nsec(), content));
    }
    let mut found = Snapshot::new();
    visit(root, root, &mut found);
    found
}

/// What lies in a directory, in order.
pub(crate) fn names(directory: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|child| child.unwrap().file_name()).collect();
    names.sort();
    names
}
