//! The stages that come with the library.

use std::time::Duration;

use deployer::{
    checks::{TcpCheck, TcpSettings},
    error::DeployError,
    gates::Approval,
    pipeline::{Hook, Stage, Verify},
};

use crate::shop::Shop;

fn fails_with(error: &DeployError, parts: &[&str]) {
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

/// Real programs take real time.
#[tokio::test]
async fn a_hook_runs_a_program_with_its_own_environment_and_no_other() {
    let shop = Shop::empty();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("said");
    let script = format!("env > {}; echo done", file.display());
    let hook = Hook::new("/bin/sh").args(["-c", &script]).env("COLOUR", "green").inherit("HOME");
    let stage = Stage::of("hook", hook).no_undo().repeatable();
    let build = shop.pipeline().clock(deployer::ports::SystemClock::new()).workload("db").stage(stage);
    build.build().unwrap().run().await.unwrap();
    let said = std::fs::read_to_string(&file).unwrap();
    for part in [
        "COLOUR=green",
        "DEPLOYER_STAGE=hook",
        "DEPLOYER_DEPLOYMENT=shop-",
        "DEPLOYER_RESUMED=false",
        "HOME=",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("CARGO"), "the environment of this process is not passed on: {said}");
}

#[tokio::test]
async fn a_hook_that_fails_says_why_and_is_undone_by_another() {
    let shop = Shop::empty();
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("undone");
    let fails = Hook::new("/bin/sh").args(["-c", "echo no such column >&2; exit 3"]);
    let undo = Hook::new("touch").arg(mark.display().to_string());
    let build = shop.pipeline().clock(deployer::ports::SystemClock::new()).workload("db");
    let build = build.stage(Stage::of("migrate", fails).undo_by(undo).repeatable());
    let error = build.build().unwrap().run().await.unwrap_err();
    fails_with(&error, &["stage migrate failed", "exit status: 3", "no such column"]);
    assert!(mark.exists());
}

#[tokio::test]
async fn a_hook_is_killed_with_all_it_started_at_its_deadline() {
    let shop = Shop::empty();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", file.display());
    let hook = Stage::of("hook", Hook::new("/bin/sh").args(["-c", &script])).no_undo().repeatable();
    let build = shop.pipeline().clock(deployer::ports::SystemClock::new()).workload("db");
    let build = build.stage(hook.deadline(Duration::from_millis(400)));
    let error = build.build().unwrap().run().await.unwrap_err();
    fails_with(&error, &["it did not end within 400ms"]);
    let child = std::fs::read_to_string(&file).unwrap();
    let stat = format!("/proc/{}/stat", child.trim());
    let alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    let limit = std::time::Instant::now() + Duration::from_secs(5);
    while alive() {
        assert!(std::time::Instant::now() < limit, "process {child} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_holds_the_pipeline_until_a_person_decides() {
    for approves in [true, false] {
        let shop = Shop::serving().await;
        let (gate, approver) = Approval::new();
        let deployment = shop
            .pipeline()
            .stage(shop.undoable("first"))
            .stage(Stage::gate("approval", gate))
            .rollout("web", shop.rollout("web", "v2"))
            .build()
            .unwrap();
        let decide = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(shop.did(), ["first"]);
            if approves { approver.approve("ann") } else { approver.reject("bob", "too late") }.unwrap();
        };
        let (ended, ()) = tokio::join!(deployment.run(), decide);
        if approves {
            ended.unwrap();
            shop.assert_live("web", "v2");
        } else {
            fails_with(&ended.unwrap_err(), &["stage approval failed", "rejected by bob: too late"]);
            assert_eq!(shop.did(), ["undo first"]);
            shop.assert_live("web", "v1");
        }
    }
}

#[tokio::test]
async fn a_public_address_is_checked_and_a_failure_takes_everything_back() {
    let shop = Shop::empty();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let build = || {
        let verify = Verify::at(address)
            .check("port", TcpCheck::new(TcpSettings::default()).unwrap())
            .attempts(2, Duration::from_millis(20));
        let build = shop.pipeline().clock(deployer::ports::SystemClock::new()).workload("db");
        build.stage(shop.undoable("first")).stage(Stage::of("verify", verify).no_undo().repeatable())
    };
    build().build().unwrap().run().await.unwrap();
    assert_eq!(shop.did(), ["first"]);
    drop(listener);
    let error = build().build().unwrap().run().await.unwrap_err();
    fails_with(&error, &["stage verify failed", "check port of 127.0.0.1"]);
    assert_eq!(shop.did(), ["first", "undo first"]);
}
