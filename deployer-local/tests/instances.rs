//! Sets of real processes: sizes, victims, epochs, ends and their evidence, limits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use deployer_core::{
    error::ErrorKind,
    model::{InstancePhase, ReleaseId, SecretRef, SetId, WorkloadId},
    ports::{Secret, SecretSource, Target as _},
};
use deployer_local::{PortChoice, ProcessSpec, RestartPolicy};
use futures::StreamExt as _;
use support::{LIMIT, TestHost, context, serve, size, sleeper, until};

/// Not a test of its own: what this program does when it is started as an instance.
#[test]
fn service() {
    let Ok(mode) = std::env::var("SERVICE") else { return };
    match mode.as_str() {
        // There is no safe way to ignore a signal but to take it and do nothing.
        "ignore-sigterm" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let kind = tokio::signal::unix::SignalKind::terminate();
                let mut signals = tokio::signal::unix::signal(kind).unwrap();
                fs::write(std::env::var("READY").unwrap(), "").unwrap();
                loop {
                    signals.recv().await;
                }
            });
        }
        // A child in a session of its own, which no signal to the group reaches.
        "daemon" => {
            let mut command = std::process::Command::new("/usr/bin/setsid");
            command.args(["--fork", "/bin/sleep", "600"]);
            command.status().unwrap();
            // Simulates a service at work.
            std::thread::sleep(Duration::from_secs(600));
        }
        "print-secret" => {
            let token = std::env::var("TOKEN").unwrap();
            writeln!(std::io::stdout(), "the token is {token}").unwrap();
            // Simulates a service at work.
            std::thread::sleep(Duration::from_secs(600));
        }
        other => panic!("no mode {other}"),
    }
}

#[tokio::test]
async fn a_set_grows_shrinks_and_goes() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    host.apply(&release, 3, &[]).await;
    let instances = host.instances("v1").await;
    assert_eq!(instances.len(), 3);
    let mut ports: Vec<_> = instances.iter().map(|it| it.address.unwrap().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3, "each has a port of its own");
    for instance in &instances {
        assert_eq!(instance.phase, InstancePhase::Running { ready: None });
        assert_eq!(instance.digest, release.artifact.digest);
        assert_eq!(instance.restarts, 0);
    }
    let processes = host.processes();
    assert_eq!(processes.len(), 3);

    // Saying it twice is saying it once.
    host.apply(&release, 3, &[]).await;
    assert_eq!(host.processes(), processes);

    let ids: Vec<_> = instances.iter().map(|it| it.id.clone()).collect();
    host.apply(&release, 1, &[ids[1].clone(), ids[0].clone()]).await;
    host.until("v1", "one", |left| left.len() == 1).await;
    assert_eq!(host.running("v1").await, [ids[2].clone()]);

    // A number is never used again.
    host.apply(&release, 2, &[]).await;
    let now = host.running("v1").await;
    assert!(now.len() == 2 && !ids[..2].contains(&now[1]), "{now:?}");

    host.target.remove(&context(1), &SetId::new("v1").unwrap()).await.unwrap();
    host.until_gone("v1").await;
    assert_eq!(host.processes(), []);
    host.target.remove(&context(1), &SetId::new("v1").unwrap()).await.unwrap();
    let logs = fs::read_dir(host.host.directory().join("logs/web")).unwrap();
    assert_eq!(logs.count(), 0, "logs go with their instances");
}

#[tokio::test]
async fn an_older_epoch_is_refused_and_has_no_effect() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    let one = size(&release.release, 1, &[]);
    host.target.apply(&context(5), &release, &one).await.unwrap();
    let before = host.processes();
    let two = size(&release.release, 2, &[]);
    let error = host.target.apply(&context(4), &release, &two).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    let error = host.target.remove(&context(4), &one.set).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert_eq!(host.processes(), before);
    // A new helper knows as much.
    host.kill_helper().await;
    let error = host.target.remove(&context(4), &one.set).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert_eq!(host.processes(), before);
}

#[tokio::test]
async fn what_ends_at_once_is_failed_with_evidence_until_the_next_apply() {
    let host = TestHost::start().await;
    let spec = ProcessSpec::new("/bin/ls").argument("/missing/file").restart(RestartPolicy::Never);
    let release = host.prepare("v1", spec).await;
    host.apply(&release, 1, &[]).await;
    let (instance, reason) = host.until_failed("v1").await;
    assert!(reason.starts_with("exited with status 2 after ") && reason.ends_with(" ms"), "{reason}");
    let evidence = host.target.evidence(&context(1), &instance.id).await.unwrap();
    assert!(evidence.log.contains("/missing/file"), "{evidence:?}");
    assert_eq!(evidence.exit.as_deref(), Some(reason.as_str()));
    assert!(evidence.events.iter().any(|event| event.contains("started as process")), "{evidence:?}");

    host.apply(&release, 1, &[]).await;
    let error = host.target.evidence(&context(1), &instance.id).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let (replaced, _) = host.until_failed("v1").await;
    assert_ne!(replaced.id, instance.id);
}

#[tokio::test]
async fn a_failing_instance_is_restarted_as_often_as_its_policy_says() {
    let host = TestHost::start().await;
    let policy = RestartPolicy::OnFailure { max: 2, backoff: Duration::from_millis(20) };
    let release = host.prepare("v1", ProcessSpec::new("/bin/false").restart(policy)).await;
    host.apply(&release, 1, &[]).await;
    let (instance, reason) = host.until_failed("v1").await;
    assert_eq!(instance.restarts, 2);
    assert!(reason.contains("status 1") && reason.contains("after 2 restarts"), "{reason}");

    // The end of a run that was killed is a failure too; its name and its port stay.
    let release = host.prepare("v2", sleeper().restart(policy)).await;
    host.apply(&release, 1, &[]).await;
    let before = host.instances("v2").await.remove(0);
    support::kill(host.processes()[0].1);
    let after = host.until("v2", "restarted", |it| it[0].restarts == 1 && it[0].phase == before.phase).await;
    assert_eq!((&after[0].id, after[0].address), (&before.id, before.address));
    assert!(after[0].started_at >= before.started_at);

    // Status 0 is no failure, but an end all the same.
    let release = host.prepare("v3", ProcessSpec::new("/bin/true").restart(policy)).await;
    host.apply(&release, 1, &[]).await;
    let (instance, reason) = host.until_failed("v3").await;
    assert!(instance.restarts == 0 && reason.contains("status 0"), "{reason}");
}

#[tokio::test]
async fn what_waits_for_a_restart_can_be_removed() {
    let host = TestHost::start().await;
    let policy = RestartPolicy::OnFailure { max: 1, backoff: Duration::from_secs(600) };
    let release = host.prepare("v1", ProcessSpec::new("/bin/false").restart(policy)).await;
    host.apply(&release, 1, &[]).await;
    host.until("v1", "waiting", |it| it[0].phase == InstancePhase::Starting).await;
    // It counts, so nothing is started in its place, by a new helper neither.
    host.apply(&release, 1, &[]).await;
    host.kill_helper().await;
    assert_eq!(host.instances("v1").await.len(), 1);
    host.apply(&release, 0, &[]).await;
    assert_eq!(host.instances("v1").await, []);
}

#[tokio::test]
async fn what_cannot_be_started_is_failed() {
    let host = TestHost::start().await;
    let script = host.files().join("script");
    fs::write(&script, "#!/missing/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let release = host.prepare("v1", ProcessSpec::new(&script)).await;
    host.apply(&release, 1, &[]).await;
    let (instance, reason) = host.until_failed("v1").await;
    assert!(reason.starts_with("could not be started") && reason.contains("script"), "{reason}");
    assert_eq!(instance.restarts, 0);
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_after_its_grace() {
    let host = TestHost::start().await;
    let ready = host.files().join("ready");
    let grace = Duration::from_millis(400);
    let spec = serve("ignore-sigterm").variable("READY", ready.to_str().unwrap()).stop_grace(grace);
    let release = host.prepare("v1", spec).await;
    host.apply(&release, 1, &[]).await;
    until("the service runs", || ready.exists()).await;
    let began = Instant::now();
    host.apply(&release, 0, &[]).await;
    let instance = host.instances("v1").await.remove(0);
    assert!(matches!(instance.phase, InstancePhase::Stopping { .. }), "{instance:?}");
    assert_eq!(host.processes().len(), 1);
    host.until_gone("v1").await;
    let took = began.elapsed();
    assert!(took + Duration::from_millis(5) >= grace && took < grace + Duration::from_secs(5), "{took:?}");
    assert_eq!(host.processes(), []);
}

#[tokio::test]
async fn what_an_instance_left_behind_goes_with_it() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", serve("daemon")).await;
    host.apply(&release, 1, &[]).await;
    until("the daemon runs", || host.processes().len() == 2).await;
    host.target.remove(&context(1), &SetId::new("v1").unwrap()).await.unwrap();
    host.until_gone("v1").await;
    until("nothing is left", || host.processes().is_empty()).await;
}

#[tokio::test]
async fn output_is_kept_within_its_limit() {
    let host = TestHost::start().await;
    // Small pieces at a time, so that the limit is not outrun by the disk.
    let script = host.files().join("chatter");
    fs::write(&script, "#!/bin/sh\nwhile :; do seq 1 2000; sleep 0.02; done\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let limit = 64 * 1024;
    let release = host.prepare("v1", ProcessSpec::new(&script).log_limit(limit)).await;
    host.apply(&release, 1, &[]).await;
    let id = host.running("v1").await.remove(0);
    let before = host.host.directory().join(format!("logs/web/{id}.before.log"));
    until("the output was cut", || fs::metadata(&before).is_ok_and(|it| it.len() == limit)).await;
    let evidence = host.target.evidence(&context(1), &id).await.unwrap();
    assert!(evidence.log.len() <= 64 * 1024 && evidence.log.len() > 1000, "{}", evidence.log.len());
    assert!(evidence.log.lines().all(|line| line.parse::<u32>().is_ok()), "whole lines only");
    assert_eq!(host.running("v1").await, [id], "the writer did not notice");
}

#[tokio::test]
async fn what_was_prepared_is_what_starts_whatever_happens_to_the_file() {
    let host = TestHost::start().await;
    let program = host.files().join("program");
    fs::copy("/bin/sleep", &program).unwrap();
    let spec = ProcessSpec::new(&program).argument("600");
    let release = host.prepare("v1", spec.clone()).await;
    host.apply(&release, 1, &[]).await;
    // Written over in place, as `cp` does.
    fs::OpenOptions::new().append(true).open(&program).unwrap().write_all(b"more").unwrap();
    host.apply(&release, 2, &[]).await;
    let pinned = fs::canonicalize(host.host.directory()).unwrap().join("pinned");
    let running: Vec<_> =
        host.processes().iter().map(|(_, pid)| fs::read_link(format!("/proc/{pid}/exe")).unwrap()).collect();
    assert_eq!(running.len(), 2);
    assert!(running[0] == running[1] && running[0].starts_with(&pinned), "{running:?}");
    assert_eq!(fs::read(&running[0]).unwrap(), fs::read("/bin/sleep").unwrap());

    // The file as it is now is another artifact, and not that of this set.
    let other = host.prepare("v1", spec).await;
    assert_ne!(other.artifact.digest, release.artifact.digest);
    let error = host.target.apply(&context(1), &other, &size(&other.release, 1, &[])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
}

#[tokio::test]
async fn a_change_is_told_at_once() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper().restart(RestartPolicy::Never)).await;
    let mut changes = host.target.watch(&context(1)).await.unwrap();
    changes.next().await.unwrap();
    host.apply(&release, 1, &[]).await;
    let next = tokio::time::timeout(LIMIT, changes.next());
    next.await.expect("the start is told").unwrap();
    let pid = host.processes()[0].1;
    let began = Instant::now();
    support::kill(pid);
    loop {
        tokio::time::timeout(LIMIT, changes.next()).await.expect("the end is told").unwrap();
        let instance = host.instances("v1").await.remove(0);
        if let InstancePhase::Failed { reason } = instance.phase {
            assert!(reason.contains("SIGKILL"), "{reason}");
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[derive(Debug)]
struct Vault;

#[async_trait::async_trait]
impl SecretSource for Vault {
    async fn resolve(&self, secret: &SecretRef) -> deployer_core::ports::Result<Secret> {
        assert_eq!(secret.0, "web/token");
        Ok(Secret::new("hunter2-hunter2"))
    }
}

#[tokio::test]
async fn a_secret_reaches_the_instance_and_no_file() {
    let host = TestHost::start().await;
    let spec = serve("print-secret").secret("TOKEN", SecretRef("web/token".into()));
    let target = host.host.target_with_secrets(&spec, std::sync::Arc::new(Vault));
    let release = spec.clone().release(ReleaseId::new("v1").unwrap());
    let artifact = target.prepare(&context(1), &release).await.unwrap();
    let pinned = deployer_core::model::PinnedRelease { release, artifact };
    target.apply(&context(1), &pinned, &size(&pinned.release, 1, &[])).await.unwrap();
    let id = host.running("v1").await.remove(0);
    let deadline = Instant::now() + LIMIT;
    loop {
        let evidence = target.evidence(&context(1), &id).await.unwrap();
        assert!(!evidence.log.contains("hunter2"), "{}", evidence.log);
        if evidence.log.contains("the token is ***") {
            break;
        }
        assert!(Instant::now() < deadline, "{evidence:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for file in ["state.json", "helper.log"] {
        let text = fs::read_to_string(host.host.directory().join(file)).unwrap();
        assert!(!text.contains("hunter2"), "{file}");
    }

    // A new helper does not know it, so it starts nothing with it until the set is applied again.
    host.kill_helper().await;
    support::kill(host.processes()[0].1);
    let (failed, reason) = host.until_failed("v1").await;
    assert!(reason.contains("TOKEN") && reason.contains("apply the set again"), "{reason}");
    target.apply(&context(1), &pinned, &size(&pinned.release, 1, &[])).await.unwrap();
    assert_ne!(host.running("v1").await, [failed.id]);
}

#[tokio::test]
async fn bad_input_is_refused_with_all_problems_and_no_effect() {
    let host = TestHost::start().await;
    let id = ReleaseId::new("v1").unwrap();
    let spec = ProcessSpec::new("/missing/program").variable("A-B", "1").port(PortChoice::Fixed(1));
    let error = host.target.prepare(&context(1), &spec.release(id.clone())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    for part in ["/missing/program", "A-B", "use target_for"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    let mut unknown = sleeper().release(id.clone());
    unknown.config["colour"] = "red".into();
    let error = host.target.prepare(&context(1), &unknown).await.unwrap_err();
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("colour"), "{error}");

    // An artifact that was resolved from something else.
    let release = host.prepare("v1", sleeper()).await;
    let mut forged = release.clone();
    forged.release.config["arguments"] = serde_json::json!(["1"]);
    let error = host.target.apply(&context(1), &forged, &size(&release.release, 1, &[])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
    let mut forged = release.clone();
    forged.artifact.detail = serde_json::json!({ "content": "../../../../bin/sh" });
    let error = host.target.apply(&context(1), &forged, &size(&release.release, 1, &[])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
    let error = host.target.apply(&context(1), &release, &size(&release.release, 100_000, &[])).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::InvalidInput);
    assert_eq!(host.processes(), []);
    assert_eq!(host.instances("v1").await, []);
}

#[tokio::test]
async fn a_fixed_port_is_exclusive() {
    let host = TestHost::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let spec = sleeper().port(PortChoice::Fixed(port));
    let target = host.host.target_for(&spec);
    assert_eq!(target.capabilities().exclusive, Some(format!("port {port} is fixed")));
    let release = spec.clone().release(ReleaseId::new("v1").unwrap());
    let error = target.prepare(&context(1), &release).await.unwrap_err();
    assert!(error.message.contains(&format!("port {port} is taken")), "{error}");
    drop(listener);

    let v1 = host.prepare("v1", spec.clone()).await;
    let error = target.apply(&context(1), &v1, &size(&v1.release, 2, &[])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
    host.apply(&v1, 1, &[]).await;
    assert_eq!(host.instances("v1").await[0].address.unwrap().port(), port);
    let v2 = host.prepare("v2", spec).await;
    let error = target.apply(&context(1), &v2, &size(&v2.release, 1, &[])).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("v1-1"), "{error}");
    host.apply(&v1, 0, &[]).await;
    host.until_gone("v1").await;
    host.apply(&v2, 1, &[]).await;
    assert_eq!(host.running("v2").await.len(), 1);
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_saved_first() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    // A directory where the new state is written: even root cannot write it.
    let obstacle = host.host.directory().join("state.json.new");
    fs::create_dir(&obstacle).unwrap();
    let error = host.target.apply(&context(9), &release, &size(&release.release, 1, &[])).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("state.json"), "{error}");
    assert_eq!(host.processes(), []);
    assert_eq!(host.target.observe(&context(9)).await.unwrap().sets, []);
    fs::remove_dir(&obstacle).unwrap();
    // The epoch of an order that was not accepted was not seen.
    host.apply(&release, 1, &[]).await;
    let running = host.running("v1").await;
    fs::create_dir(&obstacle).unwrap();
    let error = host.target.remove(&context(1), &SetId::new("v1").unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(host.running("v1").await, running);
    fs::remove_dir(&obstacle).unwrap();
}

#[tokio::test]
async fn workloads_do_not_see_each_other() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    host.apply(&release, 1, &[]).await;
    let mut other = context(1);
    other.workload = WorkloadId::new("worker").unwrap();
    assert_eq!(host.target.observe(&other).await.unwrap().sets, []);
    host.target.remove(&other, &SetId::new("v1").unwrap()).await.unwrap();
    assert_eq!(host.running("v1").await.len(), 1);
    assert!(Path::new(&host.host.directory().join("socket")).exists());
}
