//! The journals, locks and clocks of the library conform.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use deployer_core::{
    journal::{FileJournal, MemoryJournal},
    lock::{FileLock, MemoryLock},
    model::{DeploymentId, WorkloadId},
    ports::{Journal, Lock, SystemClock},
};
use deployer_testkit::{
    TestClock,
    conformance::{self, JournalRig, LockRig},
};

#[derive(Debug)]
struct Files(PathBuf);

#[async_trait]
impl JournalRig for Files {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(FileJournal::open(&self.0).unwrap())
    }

    async fn corrupt(&self, deployment: &DeploymentId) -> bool {
        let name = format!("{deployment}.jsonl");
        let path = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|directory| directory.unwrap().path().join(&name))
            .find(|path| path.is_file())
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("next", "text", 1)).unwrap();
        true
    }
}

#[async_trait]
impl LockRig for Files {
    async fn open(&self) -> Arc<dyn Lock> {
        Arc::new(FileLock::open(&self.0).unwrap())
    }
}

#[derive(Debug, Default)]
struct Memory {
    journal: MemoryJournal,
    lock: MemoryLock,
}

#[async_trait]
impl JournalRig for Memory {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(self.journal.clone())
    }
}

#[async_trait]
impl LockRig for Memory {
    async fn open(&self) -> Arc<dyn Lock> {
        Arc::new(self.lock.clone())
    }

    async fn kill_holder(&self, workload: &WorkloadId) -> bool {
        self.lock.declare_dead(workload);
        true
    }
}

#[tokio::test]
async fn journals_conform() {
    let directory = tempfile::tempdir().unwrap();
    let report = conformance::journal(&Files(directory.path().to_owned())).await;
    report.assert();
    assert_eq!(report.not_applicable(), Vec::<&str>::new(), "{report}");
    let report = conformance::journal(&Memory::default()).await;
    report.assert();
    assert_eq!(report.not_applicable(), ["damage-is-found"], "{report}");
}

#[tokio::test]
async fn locks_conform() {
    let directory = tempfile::tempdir().unwrap();
    let report = conformance::lock(&Files(directory.path().to_owned())).await;
    report.assert();
    assert_eq!(report.not_applicable(), ["the-dead-are-taken-over"], "{report}");
    let report = conformance::lock(&Memory::default()).await;
    report.assert();
    assert_eq!(report.not_applicable(), Vec::<&str>::new(), "{report}");
}

#[tokio::test]
async fn clocks_conform() {
    conformance::clock(&SystemClock::new()).await.assert();
    conformance::clock(&TestClock::new()).await.assert();
}

#[tokio::test(start_paused = true)]
async fn virtual_time_conforms() {
    conformance::clock(&TestClock::new()).await.assert();
}
