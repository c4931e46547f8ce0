//! What a restore refuses.

use std::{os::unix::fs::symlink, path::Path};

use deployer_core::{
    backups::DirectoryBackup,
    error::ErrorKind,
    model::BackupKey,
    ports::{Backup, BackupProvider as _, BackupSource, Confirmation, RestorePlace, RestoreTo},
};

use crate::support::{confirmed, context, create, key, live, names, new_place, provider, snapshot};

/// Which backup, where to, confirmed for which key; the kind of error and a part of what it says.
type Refused = (Backup, RestoreTo, BackupKey, ErrorKind, &'static str);

fn refused(directory: &Path, backup: &Backup) -> Vec<Refused> {
    let place = |text: &str| RestoreTo::New(RestorePlace(text.to_owned()));
    let foreign = BackupSource { identity: "other".to_owned(), ..backup.source.clone() };
    let good = || backup.clone();
    vec![
        (good(), RestoreTo::Live, key("d2"), ErrorKind::InvalidInput, "the confirmation is for backup d2"),
        (
            Backup { source: foreign, ..good() },
            RestoreTo::Live,
            key("d1"),
            ErrorKind::InvalidInput,
            "it is a backup of directory other",
        ),
        (
            Backup { checksum: "sha256:0".to_owned(), ..good() },
            RestoreTo::Live,
            key("d1"),
            ErrorKind::Conflict,
            "is another than before",
        ),
        (
            Backup { key: key("d9"), ..good() },
            RestoreTo::Live,
            key("d9"),
            ErrorKind::NotFound,
            "there is no backup",
        ),
        (
            good(),
            new_place(&directory.join("taken")),
            key("d1"),
            ErrorKind::AlreadyExists,
            "holds data already",
        ),
        (
            good(),
            new_place(&directory.join("live/x")),
            key("d1"),
            ErrorKind::InvalidInput,
            "lies in the live data",
        ),
        (
            good(),
            new_place(&directory.join("store/x")),
            key("d1"),
            ErrorKind::InvalidInput,
            "lies in the store",
        ),
        (good(), new_place(&directory.join("gone/x")), key("d1"), ErrorKind::NotFound, "could not find"),
        (
            good(),
            new_place(&directory.join("gone/../x")),
            key("d1"),
            ErrorKind::InvalidInput,
            "no absolute path",
        ),
        (good(), place("x"), key("d1"), ErrorKind::InvalidInput, "no absolute path"),
        (good(), place("/"), key("d1"), ErrorKind::InvalidInput, "no absolute path"),
        (good(), place(""), key("d1"), ErrorKind::InvalidInput, "no absolute path"),
    ]
}

#[tokio::test]
async fn live_data_is_untouched_by_what_is_refused() {
    let (directory, provider) = live();
    let directory = directory.path();
    let backup = create(&provider, "d1").await;
    std::fs::write(directory.join("live/a"), "newer").unwrap();
    std::fs::create_dir(directory.join("taken")).unwrap();
    let before = (snapshot(&directory.join("live")), names(directory));
    for (backup, to, key, kind, why) in refused(directory, &backup) {
        let restored = provider.restore(&context("d2"), &backup, &to, &Confirmation { key }).await;
        let error = restored.expect_err(why);
        assert!(error.kind == kind && error.message.contains(why), "{to:?}: {error}");
        assert_eq!((snapshot(&directory.join("live")), names(directory)), before, "{to:?}");
    }
}

#[tokio::test]
async fn a_damaged_backup_is_not_restored() {
    let (directory, provider) = live();
    let directory = directory.path();
    let backup = create(&provider, "d1").await;
    let archive = directory.join("store/d1/archive.tar");
    let mut bytes = std::fs::read(&archive).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let before = snapshot(&directory.join("live"));
    let error =
        provider.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await.unwrap_err();
    assert!(error.message.contains("is damaged"), "{error}");
    assert_eq!(snapshot(&directory.join("live")), before);
    assert_eq!(names(directory), ["live", "store"]);
}

#[tokio::test]
async fn a_link_to_live_data_is_not_replaced() {
    let (directory, provider) = live();
    let directory = directory.path();
    let backup = create(&provider, "d1").await;
    std::fs::rename(directory.join("live"), directory.join("real")).unwrap();
    symlink("real", directory.join("live")).unwrap();
    let error =
        provider.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await.unwrap_err();
    assert!(error.message.contains("is a symbolic link"), "{error}");
    assert_eq!(std::fs::read_link(directory.join("live")).unwrap().to_str(), Some("real"));
}

#[tokio::test]
async fn lost_data_comes_back_and_each_deployment_restores_once() {
    let (directory, provider) = live();
    let directory = directory.path();
    let live = directory.join("live");
    let before = snapshot(&live);
    let backup = create(&provider, "d1").await;
    std::fs::remove_dir_all(&live).unwrap();
    let restore = async |deployment: &str| {
        provider.restore(&context(deployment), &backup, &RestoreTo::Live, &confirmed(&backup)).await.unwrap()
    };
    assert_eq!(restore("d2").await.kept, None);
    assert_eq!(snapshot(&live), before);
    std::fs::write(live.join("a"), "newer").unwrap();
    restore("d2").await;
    assert_eq!(std::fs::read_to_string(live.join("a")).unwrap(), "newer", "the same restore is done once");
    let kept = restore("d3").await.kept.unwrap();
    assert_eq!(std::fs::read_to_string(live.join("a")).unwrap(), "old", "another one is done again");
    assert_eq!(std::fs::read_to_string(format!("{}/a", kept.0)).unwrap(), "newer");
}

#[tokio::test]
async fn a_store_can_be_carried_to_another_host() {
    let (first, provider_there) = live();
    create(&provider_there, "d1").await;
    let second = tempfile::tempdir().unwrap();
    std::fs::rename(first.path().join("store"), second.path().join("store")).unwrap();
    let here = provider(second.path());
    let backup = here.list(&context("d1")).await.unwrap().remove(0);
    here.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await.unwrap();
    assert_eq!(snapshot(&second.path().join("live")), snapshot(&first.path().join("live")));
    let elsewhere = DirectoryBackup::new("other", second.path().join("live"), second.path().join("store"));
    assert_eq!(elsewhere.unwrap().list(&context("d1")).await.unwrap(), []);
}
