//! The backup providers of the library conform.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use deployer_core::{
    backups::{CommandBackup, CommandBackupBuilder, CommandLine, DirectoryBackup, FileBackup},
    model::SecretRef,
    ports::{Backup, BackupProvider, RestorePlace, Secret, SecretSource, VerifyLevel},
};
use deployer_testkit::conformance::{self, BackupRig, BackupStand, Damage};
use tempfile::TempDir;

/// Which provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// `cp` there and back; nothing looks into the copy.
    Copy,
    /// A program that restores to a name, and one that looks into the copy.
    Names,
}

/// Data and backups in a temporary directory.
#[derive(Debug)]
pub(crate) struct Disk(pub(crate) Kind);

#[async_trait]
impl BackupRig for Disk {
    async fn stand(&self) -> Arc<dyn BackupStand> {
        Arc::new(DiskStand::new(self.0))
    }
}

/// `live` and `other` with data, and `store` for the backups of both.
#[derive(Debug)]
pub(crate) struct DiskStand {
    kind: Kind,
    root: TempDir,
    number: AtomicU64,
}

struct OneSecret(String);

impl std::fmt::Debug for OneSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneSecret")
    }
}

#[async_trait]
impl SecretSource for OneSecret {
    async fn resolve(&self, _: &SecretRef) -> deployer_core::ports::Result<Secret> {
        Ok(Secret::new(self.0.clone()))
    }
}

/// What a path holds: kinds, rights and contents, in order; nothing if nothing is there.
fn content(path: &Path) -> Option<Vec<u8>> {
    let metadata = path.symlink_metadata().ok()?;
    let mut found = format!("{:o} ", metadata.permissions().mode()).into_bytes();
    if !metadata.is_dir() {
        found.extend(fs::read(path).unwrap());
        return Some(found);
    }
    let mut children: Vec<_> = fs::read_dir(path).unwrap().map(|child| child.unwrap().path()).collect();
    children.sort();
    for child in children {
        found.extend(child.file_name().unwrap().as_encoded_bytes());
        found.extend(content(&child).unwrap());
    }
    Some(found)
}

fn shell(text: &str) -> CommandLine {
    CommandLine::program("/bin/sh").argument("-c").argument(text)
}

impl DiskStand {
    pub(crate) fn new(kind: Kind) -> Self {
        let root = tempfile::tempdir().unwrap();
        for name in ["live", "other"] {
            let path = root.path().join(name);
            if kind == Kind::Directory {
                fs::create_dir_all(path.join("deep/deeper")).unwrap();
                fs::write(path.join("deep/a"), name).unwrap();
                fs::set_permissions(path.join("deep/a"), fs::Permissions::from_mode(0o640)).unwrap();
                std::os::unix::fs::symlink("deep/a", path.join("link")).unwrap();
            } else {
                fs::write(&path, format!("data of {name}, {}", "x".repeat(2000))).unwrap();
            }
        }
        Self { kind, root, number: AtomicU64::new(0) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, source: &str, path: &Path) -> CommandBackupBuilder {
        let root = self.root.path().to_str().unwrap();
        let builder = CommandBackup::builder("copy", source, self.path("store"));
        let copy = CommandLine::program("/bin/cp").argument("--");
        let builder = builder.create(copy.clone().argument(path.to_str().unwrap()).argument("{archive}"));
        if self.kind == Kind::Copy {
            return builder
                .restore(
                    shell("cp -- \"$0\" \"$1\" && chmod 644 \"$1\"")
                        .argument("{archive}")
                        .argument("{place}"),
                )
                .live(path);
        }
        // A name is free if nothing can be seen of it, and it is taken in one step.
        let text = "set -e; cp -- \"$0\" \"$2/.new\"; chmod 644 \"$2/.new\"; ln -T \"$2/.new\" \"$2/$1\"; rm \"$2/.new\"";
        builder
            .verify(shell("grep -q '^data of '").input_is_archive())
            .restore(shell(text).argument("{archive}").argument("{place}").argument(root))
            .places_are_names()
    }

    fn made(&self, source: &str, path: &Path) -> Arc<dyn BackupProvider> {
        match self.kind {
            Kind::File => Arc::new(FileBackup::new(source, path, self.path("store")).unwrap()),
            Kind::Directory => Arc::new(DirectoryBackup::new(source, path, self.path("store")).unwrap()),
            Kind::Copy | Kind::Names => Arc::new(self.command(source, path).build().unwrap()),
        }
    }

    fn at(&self, place: &RestorePlace) -> PathBuf {
        // A path that is absolute stays what it is.
        self.root.path().join(&place.0)
    }
}

#[async_trait]
impl BackupStand for DiskStand {
    fn provider(&self) -> Arc<dyn BackupProvider> {
        self.made("conformance", &self.path("live"))
    }

    async fn change(&self) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let live = self.path("live");
        let text = format!("data of live, changed {number} times\n");
        if live.is_dir() {
            fs::write(live.join("deep/a"), &text).unwrap();
            fs::write(live.join(format!("new-{number}")), text).unwrap();
        } else {
            fs::write(live, text).unwrap();
        }
    }

    async fn live(&self) -> Vec<u8> {
        content(&self.path("live")).unwrap()
    }

    async fn content(&self, place: &RestorePlace) -> Option<Vec<u8>> {
        content(&self.at(place))
    }

    fn place(&self) -> RestorePlace {
        let name = format!("place-{}", self.number.fetch_add(1, Ordering::Relaxed));
        let path = self.path(&name);
        RestorePlace(if self.kind == Kind::Names { name } else { path.to_str().unwrap().to_owned() })
    }

    fn restores_live(&self) -> bool {
        self.kind != Kind::Names
    }

    fn levels(&self) -> Vec<VerifyLevel> {
        use VerifyLevel::{Checksum, Exists, Listed, Restored};
        match self.kind {
            Kind::File | Kind::Directory => vec![Exists, Checksum, Listed, Restored],
            Kind::Copy => vec![Exists, Checksum, Restored],
            Kind::Names => vec![Exists, Checksum, Listed],
        }
    }

    async fn occupy(&self, place: &RestorePlace) -> bool {
        fs::write(self.at(place), "somebody else's").is_ok()
    }

    async fn corrupt(&self, backup: &Backup, damage: Damage) -> bool {
        let home = self.path("store").join(backup.key.as_str());
        let archive =
            ["archive.tar", "archive"].map(|name| home.join(name)).into_iter().find(|path| path.exists());
        let archive = archive.unwrap();
        let mut bytes = fs::read(&archive).unwrap();
        match damage {
            Damage::Flipped => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Damage::Cut => drop(bytes.pop()),
            _ => return false,
        }
        fs::write(archive, bytes).is_ok()
    }

    fn foreign(&self) -> Option<Arc<dyn BackupProvider>> {
        Some(self.made("other", &self.path("other")))
    }

    fn failing(&self) -> Option<Arc<dyn BackupProvider>> {
        let path = self.path("missing");
        Some(match self.kind {
            Kind::File | Kind::Directory => self.made("conformance", &path),
            Kind::Copy | Kind::Names => {
                let half = shell("echo half > \"$0\"; exit 3").argument("{archive}");
                Arc::new(self.command("conformance", &path).create(half).build().unwrap())
            }
        })
    }

    fn with_secret(&self, value: &str, fails: bool) -> Option<Arc<dyn BackupProvider>> {
        if matches!(self.kind, Kind::File | Kind::Directory) {
            return None;
        }
        let text = if fails {
            "echo \"it is $PASSWORD\" | tee /dev/stderr; exit 7"
        } else {
            "test -n \"$PASSWORD\" && echo fine"
        };
        let builder = self.command("conformance", &self.path("live"));
        let builder = builder.create(shell(text).output_is_archive());
        let builder = builder.secret("PASSWORD", SecretRef("password".into()));
        Some(Arc::new(builder.secret_source(Arc::new(OneSecret(value.to_owned()))).build().unwrap()))
    }

    async fn stored(&self) -> Option<Vec<u8>> {
        content(&self.path("store"))
    }
}

#[tokio::test]
async fn backups_of_files_conform() {
    let report = conformance::backup(&Disk(Kind::File)).await;
    report.assert();
    let unmet = [
        "a-level-that-it-cannot-reach-is-refused",
        "what-cannot-be-swapped-in-is-refused",
        "nothing-shows-a-secret",
    ];
    assert_eq!(report.not_applicable(), unmet, "{report}");
}

#[tokio::test]
async fn backups_of_directories_conform() {
    let report = conformance::backup(&Disk(Kind::Directory)).await;
    report.assert();
    let unmet = [
        "a-level-that-it-cannot-reach-is-refused",
        "what-cannot-be-swapped-in-is-refused",
        "nothing-shows-a-secret",
    ];
    assert_eq!(report.not_applicable(), unmet, "{report}");
}

#[tokio::test]
async fn backups_by_programs_conform() {
    let report = conformance::backup(&Disk(Kind::Copy)).await;
    report.assert();
    assert_eq!(report.not_applicable(), ["what-cannot-be-swapped-in-is-refused"], "{report}");
}

#[tokio::test]
async fn backups_that_are_restored_to_names_conform() {
    let report = conformance::backup(&Disk(Kind::Names)).await;
    report.assert();
    let unmet = [
        "a-restore-takes-the-place-of-live-data",
        "a-restore-is-done-once",
        "another-deployment-restores-anew",
    ];
    assert_eq!(report.not_applicable(), unmet, "{report}");
}
