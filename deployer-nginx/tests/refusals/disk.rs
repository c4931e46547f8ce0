//! Directories that cannot be written.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use deployer_core::{error::ErrorKind, ports::TrafficRouter as _};
use deployer_nginx::{NginxSettings, ReloadRouter};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::support::{Stage, all_to};

/// Rights of this thread, and of those that it starts, are those of anybody: root may write everywhere.
fn as_anybody() {
    let mut sets = capabilities(None).expect("the rights");
    let above = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER;
    sets.effective.remove(above);
    set_capabilities(None, sets).expect("fewer rights");
}

fn allow(directory: &Path, mode: u32) {
    fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[tokio::test]
async fn a_directory_that_may_not_be_written() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let new = all_to("v2", &stage.members("v2", 1).await);
    let before = fs::read(stage.file()).unwrap();
    for name in ["workloads", "previous", "staging", "run/locks"] {
        let directory = stage.server().paths().directory().join(name);
        let lock = stage.server().paths().run().join("locks/web.lock");
        if name == "run/locks" {
            fs::remove_file(lock).unwrap();
        }
        allow(&directory, 0o555);
        let (server, web, context, split) =
            (stage.server().clone(), stage.web.clone(), stage.context(), new.clone());
        let switch = move || {
            as_anybody();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ReloadRouter::new(server, web).apply(&context, &split))
        };
        let result =
            tokio::task::spawn_blocking(|| std::thread::spawn(switch).join().unwrap()).await.unwrap();
        allow(&directory, 0o755);
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{name}: {}", error.report());
        assert!(error.report().contains(name), "{name}: {}", error.report());
        assert_eq!(fs::read(stage.file()).unwrap(), before, "{name}");
        stage.proven(&old).await;
    }
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
}

#[tokio::test]
async fn a_disk_that_is_full() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let new = all_to("v2", &stage.members("v2", 1).await);
    for name in ["previous", "workloads"] {
        // The kernel's own full disk, in the place of the file that is written before it replaces the old one.
        let temporary = stage.server().paths().directory().join(name).join(".web.conf.new");
        std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
        let error = stage.refusal(&new).await;
        assert_eq!(error.kind, ErrorKind::Unavailable, "{name}: {}", error.report());
        assert!(error.report().contains("there is no room"), "{name}: {}", error.report());
        assert!(!temporary.is_symlink(), "what was written is left");
        stage.proven(&old).await;
    }
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
}
