//! Programs as checks, the ones that misbehave included.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "checks_support/asked.rs"]
mod asked;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use asked::{assert_failed, assert_unknown, instance, probe_within};
use deployer_core::{
    checks::{ExecCheck, ExecSettings},
    model::Instance,
    strategy::Probe,
};

const SECONDS: Duration = Duration::from_secs(10);

fn asked_about() -> Instance {
    instance("127.0.0.1:8080".parse().unwrap())
}

/// A check of a script; the shell is the program under test here.
fn script(text: &str) -> ExecCheck {
    ExecCheck::program("/bin/sh").argument("-c").argument(text).build().unwrap()
}

async fn probe(check: &ExecCheck) -> Probe {
    probe_within(check, &asked_about(), SECONDS).await
}

/// Whether the process whose number is in this file is gone, or a zombie that nobody has reaped yet.
fn is_dead(pid_file: &Path) -> bool {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SECONDS;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn exit_codes_decide() {
    assert_eq!(probe(&script("exit 0")).await, Probe::Ok);
    assert_failed(&probe(&script("echo no database >&2; exit 1")).await, r#"exit status: 1: "no database""#);
    assert_unknown(&probe(&script("echo try later; exit 75")).await, r#"could not find out: "try later""#);
    assert_failed(&probe(&script("kill -9 $$")).await, "signal: 9");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_says_nothing_about_the_instance() {
    let check = ExecCheck::program("/nonexistent/check").build().unwrap();
    assert_unknown(&probe(&check).await, "could not run /nonexistent/check");
    let check = ExecCheck::program("/").build().unwrap();
    assert_unknown(&probe(&check).await, "could not run /");
}

#[tokio::test]
async fn it_learns_of_the_instance_and_nothing_else() {
    let text = r#"test "$WORKLOAD $INSTANCE_ID $INSTANCE_ADDRESS $INSTANCE_HOST $INSTANCE_PORT $INSTANCE_PLACE" = \
        "web web-v2-1 127.0.0.1:8080 127.0.0.1 8080 here" && test "$INSTANCE_DIGEST" = sha256:2 \
        && test "$MINE" = 'a b' && test -n "$PATH" && test -z "$CARGO_MANIFEST_DIR" || { env; exit 1; }"#;
    let check = ExecCheck::program("sh").argument("-c").argument(text).environment("MINE", "a b").build();
    assert!(
        std::env::var_os("CARGO_MANIFEST_DIR").is_some(),
        "the test needs a variable that is not passed on"
    );
    assert_eq!(probe(&check.unwrap()).await, Probe::Ok);
    let mut nowhere = asked_about();
    nowhere.address = None;
    let check = script("env; test -z \"${INSTANCE_ADDRESS+set}\"");
    assert_eq!(probe_within(&check, &nowhere, SECONDS).await, Probe::Ok);
}

#[tokio::test]
async fn arguments_are_not_seen_by_a_shell() {
    let check = ExecCheck::program("test").argument("$(id)").argument("=").argument("$(id)").build();
    assert_eq!(probe(&check.unwrap()).await, Probe::Ok);
    let check = ExecCheck::program("test").argument("-n").argument("; exit 1").build();
    assert_eq!(probe(&check.unwrap()).await, Probe::Ok);
}

#[tokio::test]
async fn what_hangs_is_killed_with_all_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let check = script(&format!("sleep 1000 & echo $! > {}; echo waiting; wait", pid_file.display()));
    let probe = probe_within(&check, &asked_about(), Duration::from_millis(700)).await;
    assert_failed(&probe, "did not end within 630ms: \"waiting\"");
    until("the child is dead", || is_dead(&pid_file)).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_killed_too() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    // The child keeps the output open: waiting for its end would be waiting for ever.
    let check = script(&format!("sleep 1000 & echo $! > {}; exit 0", pid_file.display()));
    let start = Instant::now();
    assert_eq!(probe(&check).await, Probe::Ok);
    assert!(start.elapsed() < SECONDS / 2, "took {:?}", start.elapsed());
    until("the child is dead", || is_dead(&pid_file)).await;
}

#[tokio::test]
async fn a_fork_that_floods_is_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let flood = format!("yes flood & echo $! > {}; yes flood >&2", pid_file.display());
    let start = Instant::now();
    let probe = probe(&script(&flood)).await;
    assert_failed(&probe, "printed more than 8388608 bytes: ");
    let Probe::Failed { why } = probe else { unreachable!() };
    assert!(why.len() < 4096 && why.contains("flood"), "{} bytes of reason", why.len());
    assert!(start.elapsed() < SECONDS / 2, "took {:?}", start.elapsed());
    until("the flood is dead", || is_dead(&pid_file)).await;
}

#[tokio::test]
async fn much_output_is_fine_and_its_end_is_shown() {
    let check = script("seq 1 100000; echo the end; exit 3");
    let probe = probe(&check).await;
    assert_failed(&probe, "the end\"");
    let Probe::Failed { why } = probe else { unreachable!() };
    assert!(why.len() < 4096 && !why.contains("\\n90000\\n"), "{} bytes of reason", why.len());
}

#[tokio::test]
async fn a_probe_that_is_dropped_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let check = script(&format!("sleep 1000 & echo $! > {}; wait", pid_file.display()));
    let asked = asked_about();
    let started = until("the child is started", || {
        std::fs::read_to_string(&pid_file).is_ok_and(|pid| pid.ends_with('\n'))
    });
    tokio::select! {
        probe = probe_within(&check, &asked, SECONDS) => panic!("{probe:?}"),
        () = started => {}
    }
    until("the child is dead", || is_dead(&pid_file)).await;
}

#[test]
fn unknown_settings_are_refused() {
    assert!(serde_json::from_str::<ExecSettings>(r#"{"program": "x", "shell": true}"#).is_err());
    let settings: ExecSettings = serde_json::from_str(r#"{"program": "x", "arguments": ["a"]}"#).unwrap();
    assert!(ExecCheck::new(settings).is_ok());
    assert!(ExecCheck::new(ExecSettings::default()).is_err(), "a program has to be named");
}
