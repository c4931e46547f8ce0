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
    assert_eq!((answer.status, answer.body.as_str()), (503, "no instance serves"));
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

#[tokio::test]
async fn lua_is_loaded_only_where_it_is_wanted() {
    nginx();
    let folder = tempfile::tempdir().unwrap();
    let settings = OwnSettings { lua: false, ..OwnSettings::new(folder.path()) };
    let own = OwnServer::start(settings, &[]).await.unwrap();
    let lua = &own.server().capabilities().lua;
    assert!(!lua.available && lua.reason.contains("libnginx-mod-http-lua"), "{lua:?}");
    own.stop().await.unwrap();
}

#[tokio::test]
async fn what_nginx_does_not_take_is_told_in_its_words() {
    nginx();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("http.d")).unwrap();
    std::fs::write(folder.path().join("http.d/mine.conf"), "no_such_directive on;").unwrap();
    let error = OwnServer::start(OwnSettings::new(folder.path()), &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.report().contains("unknown directive \"no_such_directive\""), "{}", error.report());
}

#[tokio::test]
async fn without_nginx_the_way_out_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = OwnSettings::new(folder.path());
    settings.nginx.executable = "/nowhere/nginx".into();
    let error = OwnServer::start(settings, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.report().contains("/nowhere/nginx: install nginx"), "{}", error.report());
}
