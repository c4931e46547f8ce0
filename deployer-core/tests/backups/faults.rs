//! A disk that takes no more: a process that may write only small files.

use std::{path::Path, process::Command};

use deployer_core::{
    error::{ErrorKind, Retry},
    ports::{BackupProvider as _, RestoreTo},
};

use crate::support::{confirmed, context, create, names, provider, request, snapshot};

const WORKS_IN: &str = "DEPLOYER_TEST_WORKS_IN";

/// Starts this test again as a process that may write 64 KiB to a file.
fn again(test: &str, directory: &Path) {
    let limited = "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"";
    let output = Command::new("/bin/sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args([&format!("faults::{test}"), "--exact", "--nocapture"])
        .env(WORKS_IN, directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn fill(directory: &Path) {
    std::fs::create_dir(directory.join("live")).unwrap();
    std::fs::write(directory.join("live/small"), "small").unwrap();
    std::fs::write(directory.join("live/tall"), vec![1; 200_000]).unwrap();
}

#[tokio::test]
async fn a_full_disk_leaves_no_half_backup() {
    let Some(directory) = std::env::var_os(WORKS_IN) else {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path());
        again("a_full_disk_leaves_no_half_backup", directory.path());
        create(&provider(directory.path()), "d1").await;
        return;
    };
    let directory = Path::new(&directory);
    let error = provider(directory).create(&context("d1"), &request("d1")).await.unwrap_err();
    assert_eq!((error.kind, error.retry), (ErrorKind::Unavailable, Retry::Never), "{error}");
    assert!(error.message.contains("archive.tar: the largest file allowed there is too small"), "{error}");
    assert_eq!(names(&directory.join("store")), [".lock"]);
}

#[tokio::test]
async fn a_full_disk_leaves_live_data_as_it_was() {
    let Some(directory) = std::env::var_os(WORKS_IN) else {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path());
        create(&provider(directory.path()), "d1").await;
        std::fs::write(directory.path().join("live/small"), "newer").unwrap();
        again("a_full_disk_leaves_live_data_as_it_was", directory.path());
        return;
    };
    let directory = Path::new(&directory);
    let provider = provider(directory);
    let before = snapshot(&directory.join("live"));
    let backup = provider.list(&context("d2")).await.unwrap().remove(0);
    let restored = provider.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await;
    let error = restored.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("tall"), "{error}");
    assert_eq!(snapshot(&directory.join("live")), before);
    assert_eq!(names(directory), ["live", "store"]);
}
