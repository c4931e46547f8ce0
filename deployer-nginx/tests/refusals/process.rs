//! Masters that are not there, or are somebody else.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

use deployer_core::{error::ErrorKind, ports::TrafficRouter as _};
use deployer_nginx::{Master, NginxSettings, Worker, WorkerState};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::support::{LIMIT, Stage, all_to};

/// Ended with the test.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().expect("sleep"))
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The two workers that are left once a reload is over.
async fn settled(master: &Master) -> Vec<Worker> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let workers = master.workers().expect("a master");
        if workers.len() == 2 && workers.iter().all(|worker| worker.state == WorkerState::Serving) {
            return workers;
        }
        assert!(Instant::now() < deadline, "{workers:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Nobody else ends them.
struct Orphans(Vec<Worker>);

impl Drop for Orphans {
    fn drop(&mut self) {
        for worker in &self.0 {
            let title = fs::read_to_string(format!("/proc/{}/cmdline", worker.pid)).unwrap_or_default();
            if title.starts_with("nginx: worker") {
                signal(worker.pid, Signal::KILL);
            }
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a number");
    kill_process(pid, signal).expect("a signal");
}

#[tokio::test]
async fn nginx_does_not_run() {
    let stage = Stage::start(NginxSettings::default()).await;
    stage.serving("v1").await;
    let new = all_to("v2", &stage.members("v2", 1).await);
    let Stage { own, web, router, .. } = stage;
    let (server, context) = (own.server().clone(), crate::support::context(&web, 5));
    let before = fs::read(server.paths().workload(&web)).unwrap();
    own.stop().await.unwrap();
    let error = router.apply(&context, &new).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.report().contains("nginx does not run"), "{}", error.report());
    let seen = router.current(&context).await.unwrap_err();
    assert!(seen.report().contains("nginx does not run"), "{}", seen.report());
    assert_eq!(fs::read(server.paths().workload(&web)).unwrap(), before);
}

#[tokio::test]
async fn the_pid_file_of_another_process() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let new = all_to("v2", &stage.members("v2", 1).await);
    let pid_file = &stage.server().settings().pid_file;
    let right = fs::read_to_string(pid_file).unwrap();
    let mut stranger = Stranger::start();
    let worker = *stage.server().master().await.unwrap().workers().unwrap().last().unwrap();
    // A stranger that got the number, one that is older than the file, a worker, one that is no process.
    for (text, kind, words) in [
        (stranger.0.id().to_string(), ErrorKind::Conflict, "is not that nginx: it runs"),
        (std::process::id().to_string(), ErrorKind::Conflict, "is not that nginx"),
        (worker.pid.to_string(), ErrorKind::Conflict, "its title is \"nginx: worker process\""),
        ("4194303".to_owned(), ErrorKind::Unavailable, "is gone"),
        (String::new(), ErrorKind::Unavailable, "holds no process number"),
        ("-1".to_owned(), ErrorKind::Unavailable, "holds no process number"),
        ("1 2".to_owned(), ErrorKind::Unavailable, "holds no process number"),
    ] {
        fs::write(pid_file, &text).unwrap();
        let error = stage.refusal(&new).await;
        assert_eq!(error.kind, kind, "{text:?}: {}", error.report());
        assert!(error.report().contains(words), "{text:?}: {}", error.report());
        stage.serves(&old).await;
    }
    assert!(stranger.lives(), "it was signalled: a reload would have ended it");
    fs::remove_file(pid_file).unwrap();
    let error = stage.refusal(&new).await;
    assert!(error.report().contains("does not exist"), "{}", error.report());
    fs::write(pid_file, right).unwrap();
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
}

#[tokio::test]
async fn the_pid_file_of_another_nginx() {
    let stage = Stage::start(NginxSettings::default()).await;
    let other = Stage::start(NginxSettings::default()).await;
    let (old, theirs) = (stage.serving("v1").await, other.serving("v9").await);
    let new = all_to("v2", &stage.members("v2", 1).await);
    let workers = other.server().master().await.unwrap().workers().unwrap();
    fs::copy(&other.server().settings().pid_file, &stage.server().settings().pid_file).unwrap();
    let error = stage.refusal(&new).await;
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.report().contains("the pid file of another nginx"), "{}", error.report());
    assert_eq!(
        other.server().master().await.unwrap().workers().unwrap(),
        workers,
        "the other one was reloaded"
    );
    stage.serves(&old).await;
    other.serves(&theirs).await;
    // Its own master ends with the stage, which finds it by that file.
    let own = stage.server().ask("GET", "/server", b"", LIMIT).await.unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", own.body)).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    fs::write(&stage.server().settings().pid_file, parent.trim()).unwrap();
    stage.proven(&old).await;
}

#[tokio::test]
async fn a_killed_master_with_workers_that_serve_on() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let new = all_to("v2", &stage.members("v2", 1).await);
    let master = stage.server().master().await.unwrap();
    let workers = Orphans(settled(&master).await);
    // Others of that kind are not to be named.
    let other = Stage::start(NginxSettings::default()).await;
    let theirs = other.server().master().await.unwrap();
    let strangers = Orphans(settled(&theirs).await);
    signal(theirs.pid(), Signal::KILL);
    signal(master.pid(), Signal::KILL);
    let deadline = Instant::now() + LIMIT;
    while master.lives() || theirs.lives() {
        assert!(Instant::now() < deadline, "the master lives on");
        sleep(Duration::from_millis(5)).await;
    }
    stage.serves(&old).await;
    for error in [stage.refusal(&new).await, stage.router.current(&stage.context()).await.unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Conflict, "{}", error.report());
        assert!(error.report().contains("of a master that is gone still serve"), "{}", error.report());
        let pids = |workers: &Orphans| {
            workers.0.iter().map(|worker| worker.pid.to_string()).collect::<Vec<_>>().join(", ")
        };
        assert!(error.report().contains(&format!("workers {} of", pids(&workers))), "{}", error.report());
        assert!(!error.report().contains(&pids(&strangers)), "{}", error.report());
    }
    stage.serves(&old).await;
}

#[tokio::test]
async fn a_master_that_is_younger_than_its_pid_file() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let new = all_to("v2", &stage.members("v2", 1).await);
    let file = fs::File::options().write(true).open(&stage.server().settings().pid_file).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
    // Clocks are set now and then: a worker of that master answers, so it is the one.
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
    fs::remove_file(stage.server().paths().control_socket()).unwrap();
    let error = stage.refusal(&old).await;
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.report().contains("was started after the file was written"), "{}", error.report());
    stage.serves(&new).await;
}
