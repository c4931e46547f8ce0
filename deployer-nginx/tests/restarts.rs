//! What nginx, and those who look after it, do on their own.

mod support;

use std::fs;

use deployer_core::{model::Proof, ports::TrafficRouter as _};
use deployer_nginx::{NginxSettings, OwnServer, OwnSettings, ReloadRouter, Server};
use futures::{StreamExt as _, future::join_all};
use rustix::process::{Pid, Signal, kill_process};
use support::{LIMIT, Stage, all_to, context, proven, serves, workload};
use tokio::time::{Instant, sleep, timeout};

fn pid(number: u32) -> Pid {
    i32::try_from(number).ok().and_then(Pid::from_raw).expect("a number")
}

#[tokio::test]
async fn a_split_outlives_nginx() {
    let stage = Stage::start(NginxSettings::default()).await;
    let split = stage.serving("v1").await;
    let generation = stage.proven(&split).await.proof;
    let Stage { own, backends, web, listen, router, .. } = stage;
    let mut settings = OwnSettings::new(own.directory());
    settings.nginx = own.server().settings().clone();
    own.stop().await.unwrap();
    let gone = router.current(&context(&web, 5)).await.unwrap_err();
    assert!(gone.report().contains("does not run"), "{}", gone.report());
    let own = OwnServer::start(settings, &[(web.clone(), listen)]).await.unwrap();
    // The router of before goes on with the new master.
    let view = proven(&router, &context(&web, 5), &split).await;
    assert_eq!(view.proof, generation);
    serves(&backends, listen, &split).await;
    assert_eq!(router.current(&context(&web, 5)).await.unwrap(), view);
    own.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_dies_is_replaced_by_one_of_the_same_configuration() {
    let stage = Stage::start(NginxSettings::default()).await;
    let split = stage.serving("v1").await;
    let view = stage.proven(&split).await;
    let master = stage.server().master().await.unwrap();
    let before = master.workers().unwrap();
    for worker in &before {
        kill_process(pid(worker.pid), Signal::KILL).unwrap();
    }
    let deadline = Instant::now() + LIMIT;
    while master.workers().unwrap().iter().any(|worker| before.contains(worker))
        || master.workers().unwrap().len() < before.len()
    {
        assert!(Instant::now() < deadline, "{:?}", master.workers());
        sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(stage.proven(&split).await, view);
    assert_eq!(stage.server().reloads().await, 2, "one to listen and one to switch");
}

#[tokio::test]
async fn somebody_else_reloads() {
    let stage = Stage::start(NginxSettings::default()).await;
    let split = stage.serving("v1").await;
    let view = stage.proven(&split).await;
    let master = stage.server().master().await.unwrap();
    for _ in 0..3 {
        kill_process(pid(master.pid()), Signal::HUP).unwrap();
        assert_eq!(stage.proven(&split).await, view);
    }
    let next = all_to("v2", &stage.members("v2", 1).await);
    kill_process(pid(master.pid()), Signal::HUP).unwrap();
    stage.router.apply(&stage.context(), &next).await.unwrap();
    stage.proven(&next).await;
}

#[tokio::test]
async fn deployers_of_two_workloads_do_not_meet() {
    let stage = Stage::start(NginxSettings::default()).await;
    let mut all = Vec::new();
    for name in ["one", "other"] {
        let name = workload(name);
        let listen = stage.own.add(&name, ([127, 0, 0, 1], 0).into()).await.unwrap();
        // Each has a value of its own, as in a process of its own.
        let server = Server::find(stage.server().settings().clone()).await.unwrap();
        let splits =
            [all_to("v1", &stage.members("v1", 1).await), all_to("v2", &stage.members("v2", 1).await)];
        all.push((ReloadRouter::new(server, name.clone()), name, listen, splits));
    }
    let deployments = all.iter().map(|(router, name, listen, splits)| {
        let backends = &stage.backends;
        async move {
            for number in 0..6 {
                let split = &splits[number % 2];
                router.apply(&context(name, 5), split).await.unwrap();
                proven(router, &context(name, 5), split).await;
                serves(backends, *listen, split).await;
            }
        }
    });
    join_all(deployments).await;
}

#[tokio::test]
async fn without_an_error_log_nginx_is_asked_for_the_reason() {
    let stage = Stage::start(NginxSettings {
        reload_deadline: std::time::Duration::from_secs(2),
        ..NginxSettings::default()
    })
    .await;
    let old = stage.serving("v1").await;
    let main = &stage.server().settings().main_config;
    let text = fs::read_to_string(main).unwrap();
    // It writes where nobody can read.
    let silent: Vec<_> = text
        .lines()
        .map(|line| if line.starts_with("error_log") { "error_log /dev/null notice;" } else { line })
        .collect();
    fs::write(main, silent.join("\n")).unwrap();
    let next = all_to("v2", &stage.members("v2", 1).await);
    stage.router.apply(&stage.context(), &next).await.unwrap();
    stage.proven(&next).await;
    stage.write_foreign("limit_req_zone $binary_remote_addr zone=other:1m rate=1r/s;");
    stage.server().reload().await.unwrap();
    stage.write_foreign("limit_req_zone $host zone=other:1m rate=1r/s;");
    let error = stage.refusal(&old).await;
    assert!(error.report().contains("started no new worker"), "{}", error.report());
    stage.proven(&next).await;
    stage.write_foreign("");
    stage.router.apply(&stage.context(), &old).await.unwrap();
    stage.proven(&old).await;
}

#[tokio::test]
async fn a_watch_sees_the_switches_of_others() {
    let stage = Stage::start(NginxSettings::default()).await;
    stage.serving("v1").await;
    let mut hints = stage.router.watch(&stage.context()).await.unwrap();
    let server = Server::find(stage.server().settings().clone()).await.unwrap();
    let other = ReloadRouter::new(server, stage.web.clone());
    let next = all_to("v2", &stage.members("v2", 1).await);
    other.apply(&stage.context(), &next).await.unwrap();
    // Until old workers have ended there is something to see.
    let deadline = Instant::now() + LIMIT;
    loop {
        timeout(LIMIT, hints.next()).await.expect("a hint").expect("no end");
        let view = stage.router.current(&stage.context()).await.unwrap();
        if view.split == next && matches!(view.proof, Proof::Proven { .. }) {
            break;
        }
        assert!(Instant::now() < deadline, "{view:?}");
    }
}
