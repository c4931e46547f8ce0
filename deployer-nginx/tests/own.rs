//! An nginx of one's own.

mod support;

use deployer_core::error::ErrorKind;
use deployer_nginx::{OwnServer, OwnSettings, WorkerState};
use support::{get, nginx, workload};

#[tokio::test]
async fn it_starts_answers_and_ends() {
    nginx();
    let folder = tempfile::tempdir().unwrap();
    let own = OwnServer::start(OwnSettings::new(folder.path()), &[]).await.unwrap();
    let web = workload("web");
    let listen = own.add(&web, ([127, 0, 0, 1], 0).into()).await.unwrap();
    let answer = get(listen, "/").await.unwrap();
    assert_eq!(answer.status, 503, "nobody serves");
    assert!(own.server().capabilities().lua.available, "{:?}", own.server().capabilities());
    let master = own.server().master().await.unwrap();
    let serving = |worker: &&deployer_nginx::Worker| worker.state == WorkerState::Serving;
    assert!(master.workers().unwrap().iter().filter(serving).count() >= 2);

    let second = OwnServer::start(OwnSettings::new(folder.path()), &[]).await.unwrap_err();
    assert_eq!(second.kind, ErrorKind::AlreadyExists);
    own.stop().await.unwrap();
    assert!(get(listen, "/").await.is_none());
    assert!(!master.lives());
}

#[tokio::test]
async fn the_control_socket_is_the_owners_alone() {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    nginx();
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("deployer/run");
    fs::create_dir_all(&run).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let own = OwnServer::start(OwnSettings::new(folder.path()), &[]).await.unwrap();
    assert_eq!(fs::metadata(&run).unwrap().permissions().mode() & 0o777, 0o700);
    own.stop().await.unwrap();
}
