//! A real process dies at each step of a backup, and the next one goes on.

use std::{
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{Command, ExitStatus},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::DirectoryBackup;
use crate::{
    model::{BackupKey, DeploymentId, Epoch, WorkloadId},
    ports::{
        Backup, BackupProvider as _, BackupRequest, CallContext, Confirmation, RestorePlace, RestoreReport,
        RestoreTo,
    },
};

const DIES_AT: &str = "DEPLOYER_TEST_DIES_AT_STEP";
const WORKS_IN: &str = "DEPLOYER_TEST_WORKS_IN";

static STEPS: AtomicU32 = AtomicU32::new(0);
static LAST: LazyLock<Option<u32>> = LazyLock::new(|| std::env::var(DIES_AT).ok()?.parse().ok());

/// Kills this process at the step that it was told to die at.
pub(super) fn step() {
    if *LAST == Some(STEPS.fetch_add(1, Ordering::Relaxed) + 1) {
        let _never = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // Simulates that the signal takes a moment.
        std::thread::sleep(Duration::from_secs(10));
        unreachable!("a killed process went on");
    }
}

/// Starts this test again as a process that dies at this step.
fn die_at(test: &str, step: u32, directory: &Path) -> ExitStatus {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("backups::tests_kill::{test}"), "--exact", "--nocapture"])
        .env(DIES_AT, step.to_string())
        .env(WORKS_IN, directory)
        .output()
        .unwrap();
    let died = output.status.signal() == Some(9);
    assert!(died || output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.status
}

fn told() -> Option<std::path::PathBuf> {
    std::env::var_os(WORKS_IN).map(Into::into)
}

fn context(deployment: &str) -> CallContext {
    CallContext {
        workload: WorkloadId::new("shop").unwrap(),
        deployment: DeploymentId::new(deployment).unwrap(),
        epoch: Epoch(1),
        deadline: Duration::from_secs(60),
    }
}

fn provider(directory: &Path) -> DirectoryBackup {
    DirectoryBackup::new("shop", directory.join("live"), directory.join("store")).unwrap()
}

fn write(directory: &Path, text: &str) {
    std::fs::create_dir_all(directory.join("live/deep")).unwrap();
    for name in ["live/a", "live/deep/b"] {
        std::fs::write(directory.join(name), text).unwrap();
        std::fs::set_permissions(directory.join(name), std::fs::Permissions::from_mode(0o640)).unwrap();
    }
}

/// What all files of a whole tree say; nothing if there is no such tree.
fn text_of(live: &Path) -> Option<String> {
    live.symlink_metadata().ok()?;
    let [a, b] = ["a", "deep/b"].map(|name| std::fs::read_to_string(live.join(name)).unwrap());
    assert_eq!(a, b, "{} is of two moments", live.display());
    Some(a)
}

fn request() -> BackupRequest {
    BackupRequest { key: BackupKey::new("d1").unwrap(), reason: "before d1".to_owned() }
}

fn hidden(directory: &Path) -> Vec<String> {
    let children = std::fs::read_dir(directory).unwrap();
    let names = children.map(|child| child.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.') && name != ".lock").collect()
}

async fn restore(directory: &Path, to: &RestoreTo) -> crate::ports::Result<RestoreReport> {
    let provider = provider(directory);
    let backup: Backup = provider.list(&context("d2")).await?.remove(0);
    let confirmation = Confirmation { key: backup.key.clone() };
    provider.restore(&context("d2"), &backup, to, &confirmation).await
}

#[tokio::test]
async fn creating_dies_at_each_step() {
    if let Some(directory) = told() {
        provider(&directory).create(&context("d1"), &request()).await.unwrap();
        return;
    }
    for step in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        write(directory, "old");
        if die_at("creating_dies_at_each_step", step, directory).success() {
            assert!(step > 5, "there are {step} steps only");
            break;
        }
        let provider = provider(directory);
        let listed = provider.list(&context("d1")).await.unwrap();
        let backup = provider.create(&context("d1"), &request()).await.unwrap();
        assert!(listed.is_empty() || listed == [backup.clone()], "step {step}: {listed:?}");
        let level = crate::ports::VerifyLevel::Restored;
        let verified = provider.verify(&context("d1"), &backup, level).await.unwrap();
        assert_eq!(verified.verified, Some(level));
        assert_eq!(hidden(&directory.join("store")), [""; 0], "step {step}");
    }
}

#[tokio::test]
async fn a_restore_to_live_data_dies_at_each_step() {
    if let Some(directory) = told() {
        restore(&directory, &RestoreTo::Live).await.unwrap();
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for step in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        write(directory, "old");
        provider(directory).create(&context("d1"), &request()).await.unwrap();
        write(directory, "damaged");
        let whole = die_at("a_restore_to_live_data_dies_at_each_step", step, directory).success();
        let now = text_of(&directory.join("live")).expect("there is live data at each moment");
        seen.insert(now.clone());
        if now == "old" {
            // The application goes on with it, and this is not lost by the next call.
            write(directory, "newer");
        }
        let report = restore(directory, &RestoreTo::Live).await.unwrap();
        let after = text_of(&directory.join("live")).unwrap();
        assert_eq!(after, if now == "old" { "newer" } else { "old" }, "step {step}");
        let kept = directory.join("live.before-restore-d2");
        assert_eq!(report.kept, Some(RestorePlace(kept.display().to_string())));
        assert_eq!(text_of(&kept).as_deref(), Some("damaged"), "step {step}");
        assert_eq!(
            restore(directory, &RestoreTo::Live).await.unwrap(),
            report,
            "the same again does nothing"
        );
        assert_eq!(text_of(&directory.join("live")).unwrap(), after);
        assert_eq!(hidden(directory), [""; 0], "step {step}");
        if whole {
            assert!(step > 8, "there are {step} steps only");
            break;
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["damaged", "old"], "both sides of the swap were seen");
}

#[tokio::test]
async fn a_restore_to_a_new_place_dies_at_each_step() {
    let to = |directory: &Path| RestoreTo::New(RestorePlace(directory.join("drill").display().to_string()));
    if let Some(directory) = told() {
        restore(&directory, &to(&directory)).await.unwrap();
        return;
    }
    for step in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        write(directory, "old");
        provider(directory).create(&context("d1"), &request()).await.unwrap();
        let whole = die_at("a_restore_to_a_new_place_dies_at_each_step", step, directory).success();
        let now = text_of(&directory.join("drill"));
        assert!(now.is_none() || now.as_deref() == Some("old"), "step {step}: {now:?}");
        let report = restore(directory, &to(directory)).await.unwrap();
        assert_eq!((text_of(&directory.join("drill")).as_deref(), report.kept), (Some("old"), None));
        assert_eq!(hidden(directory), [""; 0], "step {step}");
        if whole {
            assert!(step > 5, "there are {step} steps only");
            break;
        }
    }
}

#[tokio::test]
async fn pruning_dies_at_each_step() {
    if let Some(directory) = told() {
        provider(&directory).prune(&context("d1"), 1, &[]).await.unwrap();
        return;
    }
    for step in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        write(directory, "old");
        let provider = provider(directory);
        for key in ["d1", "d2", "d3"] {
            let request = BackupRequest { key: BackupKey::new(key).unwrap(), ..request() };
            provider.create(&context(key), &request).await.unwrap();
        }
        let whole = die_at("pruning_dies_at_each_step", step, directory).success();
        for backup in provider.list(&context("d1")).await.unwrap() {
            let level = crate::ports::VerifyLevel::Listed;
            provider.verify(&context("d1"), &backup, level).await.unwrap();
        }
        provider.prune(&context("d1"), 1, &[]).await.unwrap();
        let left = provider.list(&context("d1")).await.unwrap();
        assert_eq!(left.iter().map(|backup| backup.key.as_str()).collect::<Vec<_>>(), ["d3"], "step {step}");
        assert_eq!(hidden(&directory.join("store")), [""; 0], "step {step}");
        if whole {
            assert!(step > 4, "there are {step} steps only");
            break;
        }
    }
}
