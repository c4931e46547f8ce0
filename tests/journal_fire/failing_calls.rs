//! The k-th call of a kind fails, for every k that there is. Calls are made to fail by `strace`.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use deployer::error::DeployError;
use deployer_testkit::cases::say;

use crate::stand::{Kind, Stand, clear, directory, virtually};

/// First argument of a process whose calls fail: the directory follows.
pub(crate) const CHILD: &str = "__journal_fire_failing_calls";

/// What fails, how, and at what: the journal itself, or the directory that it is made in.
const FAILURES: [(&str, &str, &str); 7] = [
    ("write", "ENOSPC", "web/d2.jsonl"),
    ("fdatasync", "EIO", "web/d2.jsonl"),
    ("openat", "EMFILE", "web/d2.jsonl"),
    ("read", "EIO", "web/d2.jsonl"),
    ("fsync", "EIO", "web"),
    ("pwrite64", "EIO", "web/lock"),
    ("flock", "EIO", "web/lock"),
];

pub(crate) fn a_failing_call_stops_everything_and_the_next_run_goes_on() {
    if let Err(why) = strace_works() {
        let is_ci = env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        assert!(!is_ci, "{why}, which is not allowed here");
        return say(&format!("    SKIPPED: {why}; `apt-get install strace`, and allow it to trace"));
    }
    for (call, error, file) in FAILURES {
        let mut stopped = 0;
        for k in 1.. {
            assert!(k < 200, "{call} is made without end");
            if !is_stopped(call, error, file, k) {
                break;
            }
            stopped += 1;
        }
        assert!(stopped > 0, "no {call} of {file} ever failed");
        say(&format!("    {call} of {file} with {error}: stopped at each of {stopped} calls, and went on"));
    }
}

fn strace_works() -> Result<(), String> {
    let status = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("strace may not trace here: {status}")),
        Err(error) => Err(format!("strace does not start: {error}")),
    }
}

/// Whether there was a k-th call. What has to hold is looked at by the child.
fn is_stopped(call: &str, error: &str, file: &str, k: u32) -> bool {
    let directory = directory();
    let place = directory.path().canonicalize().unwrap();
    let output = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-P"])
        .arg(place.join(file))
        .args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error={error}:when={k}")])
        .arg(env::current_exe().unwrap())
        .arg(CHILD)
        .arg(&place)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{error} for {call} {k} of {file}: {}\n{said}", output.status);
    match said.trim() {
        "stopped" => true,
        "undisturbed" => false,
        other => panic!("{error} for {call} {k} of {file}: {other}"),
    }
}

/// Deploys both releases, again where something failed.
pub(crate) fn child(directory: &str) -> ExitCode {
    let directory = Path::new(directory);
    clear(directory);
    let stopped = virtually(async || {
        let stand = Stand::empty(directory, Kind::Rolling);
        stopped(&stand, "v1", "d1").await || stopped(&stand, "v2", "d2").await
    });
    say(if stopped { "stopped" } else { "undisturbed" });
    ExitCode::SUCCESS
}

/// Whether a deployment was stopped before it succeeded.
async fn stopped(stand: &Stand, release: &str, id: &str) -> bool {
    let effects = stand.effects();
    match stand.run(release, id).await {
        Ok(_) => {
            stand.assert_live(release, "undisturbed");
            return false;
        }
        Err(DeployError::Interrupted { why }) => {
            assert!(why.contains("journal") && why.contains("run the same deployment again"), "{why}");
            stand.assert_intended(id, &why).await;
        }
        Err(DeployError::Refused(problems)) => {
            assert!(!problems.is_empty());
            assert_eq!(stand.effects(), effects, "refused with an effect: {problems:?}");
        }
        Err(other) => panic!("{other}"),
    }
    // Nothing fails any more. Whether the last record was durable was not known; where it was, there is nothing to do.
    if !stand.has_ended(id).await {
        stand.run(release, id).await.unwrap();
    }
    stand.assert_live(release, "at the end");
    true
}
