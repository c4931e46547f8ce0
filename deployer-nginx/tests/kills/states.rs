//! What a killed deployer leaves, made by hand.

use std::{fs, net::TcpListener};

use deployer_core::model::{Epoch, Split};
use deployer_nginx::{
    NginxSettings,
    config::{WorkloadFile, build, render},
};
use rustix::process::{Pid, Signal, kill_process};

use super::resume::{resume, switch_on};
use crate::support::{Stage, all_to};

/// A stage that serves one split, and another one that it could serve.
async fn stage() -> (Stage, Split, Split) {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = all_to("v1", &stage.members("v1", 1).await);
    let new = all_to("v2", &stage.members("v2", 1).await);
    switch_on(&stage, 5, &old).await;
    (stage, old, new)
}

/// The files as they are after the install of a split.
fn install(stage: &Stage, split: &Split) -> WorkloadFile {
    let before = fs::read_to_string(stage.file()).unwrap();
    let generation = WorkloadFile::parse(&before).unwrap().generation + 1;
    let config = build(&stage.web, generation, split, stage.server().settings()).unwrap();
    let content = render(&config).unwrap();
    let file = WorkloadFile { epoch: Epoch(5), generation, split: split.clone(), content };
    fs::write(stage.server().paths().previous(&stage.web), before).unwrap();
    fs::write(stage.file(), file.text()).unwrap();
    file
}

fn block_on(body: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(body);
}

pub(crate) fn between_file_and_signal() {
    block_on(async {
        let (stage, old, new) = stage().await;
        install(&stage, &new);
        stage.serves(&old).await;
        let resumed = resume(&stage).await;
        assert_eq!((resumed.view.split, resumed.reloads), (new, 1), "{:?}", resumed.errors);
    });
}

pub(crate) fn between_signal_and_proof() {
    block_on(async {
        let (stage, _, new) = stage().await;
        let workers = stage.server().master().await.unwrap().workers().unwrap();
        install(&stage, &new);
        let master = stage.server().master().await.unwrap();
        let pid = Pid::from_raw(i32::try_from(master.pid()).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
        let resumed = resume(&stage).await;
        assert_eq!(resumed.view.split, new);
        assert!(resumed.reloads <= 1, "{resumed:?}");
        let serving = master.workers().unwrap();
        let is_old = |worker: &deployer_nginx::Worker| workers.contains(worker);
        assert!(!serving.iter().any(is_old), "a proof while an old worker accepts: {serving:?}");
    });
}

pub(crate) fn before_a_refusal_was_heard() {
    block_on(async {
        let (stage, old, new) = stage().await;
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        stage.write_foreign(&format!("server {{ listen {}; }}", taken.local_addr().unwrap()));
        let file = install(&stage, &new);
        let resumed = resume(&stage).await;
        assert_eq!((&resumed.view.split, resumed.reloads, resumed.errors.len()), (&old, 1, 1), "{resumed:?}");
        assert!(resumed.errors[0].contains("bind()") && resumed.errors[0].contains("is back"), "{resumed:?}");
        stage.write_foreign("");
        switch_on(&stage, 5, &new).await;
        let present = WorkloadFile::parse(&fs::read_to_string(stage.file()).unwrap()).unwrap();
        assert!(present.generation > file.generation, "the number of a refused one is not used again");
    });
}

pub(crate) fn left_overs() {
    block_on(async {
        let (stage, old, new) = stage().await;
        let paths = stage.server().paths();
        let half = &fs::read(stage.file()).unwrap()[..100];
        for path in
            [paths.workloads().join(".web.conf.new"), paths.directory().join("previous/.web.conf.new")]
        {
            fs::write(path, half).unwrap();
        }
        let staging = paths.directory().join("staging/web/workloads");
        fs::create_dir_all(&staging).unwrap();
        fs::write(staging.join("web.conf"), "half {").unwrap();
        // Somebody else may reload at any time: nginx must not read what is half.
        stage.server().reload().await.unwrap();
        let resumed = resume(&stage).await;
        assert_eq!((resumed.view.split, resumed.reloads), (old, 0), "{:?}", resumed.errors);
        switch_on(&stage, 5, &new).await;
        assert!(!paths.workloads().join(".web.conf.new").exists());
        assert!(!staging.exists());
    });
}
