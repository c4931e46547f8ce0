//! The helper: killed, started twice, shut down, spoken to by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    process::Stdio,
    time::{Duration, Instant},
};

use deployer_core::{
    error::ErrorKind,
    model::{InstancePhase, SetId},
    ports::Target as _,
};
use deployer_local::{HelperProgram, LocalHost, LocalSettings, OnShutdown, ProcessSpec, RestartPolicy};
use support::{LIMIT, TestHost, context, settings, size, sleeper, until};

#[tokio::test]
async fn instances_outlive_the_helper_and_are_taken_over() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    host.apply(&release, 3, &[]).await;
    let (before, processes) = (host.instances("v1").await, host.processes());
    let old = host.kill_helper().await;
    assert_eq!(host.processes(), processes, "they go on");
    assert_eq!(host.instances("v1").await, before, "and a new helper knows them");
    assert_ne!(host.host.helper().await.unwrap(), old);
    assert_eq!(host.processes(), processes);

    // Those that were taken over are as much its own: they are missed, stopped and removed.
    support::kill(processes[0].1);
    let it = host.until("v1", "restarted", |it| it.iter().any(|it| it.restarts == 1)).await;
    assert_eq!(it.len(), 3);
    host.kill_helper().await;
    host.target.remove(&context(1), &SetId::new("v1").unwrap()).await.unwrap();
    host.until_gone("v1").await;
    assert_eq!(host.processes(), []);
}

#[tokio::test]
async fn what_ended_without_a_helper_is_noticed_by_the_next() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper().restart(RestartPolicy::Never)).await;
    host.apply(&release, 1, &[]).await;
    let restarted = host.prepare("v2", sleeper()).await;
    host.apply(&restarted, 1, &[]).await;
    let stopping = host.prepare("v3", sleeper()).await;
    host.apply(&stopping, 1, &[]).await;
    host.kill_helper().await;
    let processes = host.processes();
    for (_, pid) in &processes {
        support::kill(*pid);
    }
    until("they are dead", || host.processes().is_empty()).await;
    let (_, reason) = host.until_failed("v1").await;
    assert!(reason.contains("while no helper was running"), "{reason}");
    for set in ["v2", "v3"] {
        host.until(set, "restarted", |it| {
            it.len() == 1 && it[0].restarts == 1 && matches!(it[0].phase, InstancePhase::Running { .. })
        })
        .await;
    }
}

#[tokio::test]
async fn a_helper_killed_at_any_moment_of_an_apply_leaves_no_orphan() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    let three = size(&release.release, 3, &[]);
    for round in 0..20u64 {
        let pid = host.host.helper().await.unwrap();
        let killer = std::thread::spawn(move || {
            // From before the first save to after the last start.
            std::thread::sleep(Duration::from_micros(round * 500));
            support::kill(pid);
        });
        // Whether it was done nobody knows: it is said again, as the engine does.
        let _ = host.target.apply(&context(1), &release, &three).await;
        killer.join().unwrap();
        host.until_helper_is_dead().await;
        host.target.apply(&context(1), &release, &three).await.unwrap();
        let running: Vec<String> = host.running("v1").await.iter().map(ToString::to_string).collect();
        let processes: Vec<String> = host.processes().into_iter().map(|(id, _)| id).collect();
        assert_eq!(
            processes,
            {
                let mut it = running;
                it.sort();
                it
            },
            "round {round}"
        );
        assert_eq!(processes.len(), 3, "round {round}");
        host.target.remove(&context(1), &three.set).await.unwrap();
        host.until_gone("v1").await;
        assert_eq!(host.processes(), [], "round {round}");
    }
}

#[tokio::test]
async fn a_process_that_the_state_does_not_know_is_killed_at_the_next_start() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    host.apply(&release, 1, &[]).await;
    let state = host.host.directory().join("state.json");
    let before = fs::read(&state).unwrap();
    host.apply(&release, 2, &[]).await;
    assert_eq!(host.processes().len(), 2);
    // As if the last save had been lost.
    host.kill_helper().await;
    fs::write(&state, before).unwrap();
    assert_eq!(host.running("v1").await.len(), 1);
    until("the stranger is dead", || host.processes().len() == 1).await;
}

#[tokio::test]
async fn an_instance_whose_start_was_not_saved_is_found_by_its_marks() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    host.apply(&release, 1, &[]).await;
    let processes = host.processes();
    host.kill_helper().await;
    // As saved before the start.
    let path = host.host.directory().join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let instance = &mut state["workloads"]["web"]["sets"]["v1"]["instances"][0];
    assert_eq!(instance["life"], "running");
    instance["life"] = "planned".into();
    instance["process"] = serde_json::Value::Null;
    fs::write(&path, state.to_string()).unwrap();
    assert_eq!(host.running("v1").await.len(), 1);
    assert_eq!(host.processes(), processes, "taken over, not started again");
    // And if there was no time to start it, it is started now.
    host.kill_helper().await;
    support::kill(processes[0].1);
    until("it is dead", || host.processes().is_empty()).await;
    fs::write(&path, state.to_string()).unwrap();
    assert_eq!(host.running("v1").await.len(), 1);
    assert_eq!(host.processes().len(), 1);
}

#[tokio::test]
async fn a_saved_number_that_another_process_has_now_is_left_alone() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper().restart(RestartPolicy::Never)).await;
    host.apply(&release, 1, &[]).await;
    host.kill_helper().await;
    let pid = host.processes()[0].1;
    support::kill(pid);
    until("it is dead", || host.processes().is_empty()).await;
    let mut stranger = Stranger::start();
    let state = host.host.directory().join("state.json");
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace(&format!("\"pid\":{pid},"), &format!("\"pid\":{},", stranger.0.id())))
        .unwrap();
    host.until_failed("v1").await;
    host.target.remove(&context(1), &SetId::new("v1").unwrap()).await.unwrap();
    host.until_gone("v1").await;
    assert!(stranger.0.try_wait().unwrap().is_none(), "the stranger lives");
}

/// A process that is none of ours, and ends with the test.
struct Stranger(std::process::Child);

impl Stranger {
    fn start() -> Self {
        let mut command = std::process::Command::new("/bin/sleep");
        let (input, output, error) = (Stdio::null(), Stdio::null(), Stdio::null());
        Self(command.arg("600").stdin(input).stdout(output).stderr(error).spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_starts_at_once_are_one_helper() {
    let parent = tempfile::tempdir().unwrap();
    let place = parent.path().join("d");
    let starts = (0..8).map(|_| tokio::spawn(LocalHost::start(settings(&place))));
    let mut pids = Vec::new();
    let mut hosts = Vec::new();
    for start in starts {
        let host = start.await.unwrap().unwrap();
        pids.push(host.helper().await.unwrap());
        hosts.push(host);
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "{pids:?}");
    until("only one is left", || support::helpers(hosts[0].directory()).len() == 1).await;
    assert_eq!(support::helpers(hosts[0].directory()), pids);
    let host = hosts.remove(0);
    assert_eq!(fs::metadata(host.directory()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(host.directory().join("socket")).unwrap().mode() & 0o777, 0o600);
    host.shutdown(OnShutdown::StopInstances, LIMIT).await.unwrap();
}

#[tokio::test]
async fn the_helper_ends_when_it_is_told() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    host.apply(&release, 2, &[]).await;
    let (before, processes) = (host.instances("v1").await, host.processes());
    host.host.shutdown(OnShutdown::LeaveInstances, LIMIT).await.unwrap();
    let lock = fs::File::open(host.host.directory().join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    drop(lock);
    assert_eq!(host.processes(), processes);
    assert_eq!(host.instances("v1").await, before, "the next helper takes them over");

    // An end that cannot be saved is none: the next helper would start everything again.
    let obstacle = host.host.directory().join("state.json.new");
    fs::create_dir(&obstacle).unwrap();
    let error = host.host.shutdown(OnShutdown::StopInstances, LIMIT).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("state.json"), "{error}");
    fs::remove_dir(&obstacle).unwrap();
    host.host.shutdown(OnShutdown::StopInstances, LIMIT).await.unwrap();
    assert_eq!(host.processes(), []);
    assert_eq!(host.instances("v1").await, [], "they are not started again");
    // The number of the last instance and the epoch are not forgotten.
    host.apply(&release, 1, &[]).await;
    assert_eq!(host.running("v1").await[0].as_str(), "v1-3");
}

#[tokio::test]
async fn a_helper_that_cannot_start_says_why() {
    let parent = tempfile::tempdir().unwrap();
    let start = async |helper: HelperProgram, place: &str| {
        LocalHost::start(LocalSettings::new(parent.path().join(place)).helper(helper)).await.unwrap_err()
    };
    let error = start(HelperProgram::ThisProgram, "a").await;
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("init()"), "{error}");
    let error = start(HelperProgram::Binary("/missing/helper".into()), "b").await;
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("/missing/helper"), "{error}");
    let error = start(HelperProgram::Binary("/bin/true".into()), "c").await;
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("init()"), "{error}");
    let error = start(HelperProgram::Binary(support::HELPER.into()), &"x".repeat(100)).await;
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("107"), "{error}");
    let open = parent.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let error = start(HelperProgram::Binary(support::HELPER.into()), "open").await;
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error}");

    let newer = parent.path().join("newer");
    fs::create_dir(&newer).unwrap();
    fs::set_permissions(&newer, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(newer.join("state.json"), r#"{"format":9}"#).unwrap();
    let error = start(HelperProgram::Binary(support::HELPER.into()), "newer").await;
    assert!(error.message.contains("format 9") && error.message.contains("helper.log"), "{error}");
}

#[tokio::test]
async fn a_helper_of_another_version_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let place = parent.path().join("d");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(place.join("socket")).unwrap();
    let other = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ndeployer-protocol: 99\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    let host = LocalHost::start(settings(&place)).await.unwrap();
    let error = host.helper().await.unwrap_err();
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains("protocol 99"), "{error}");
    other.join().unwrap();
}

#[tokio::test]
async fn the_socket_speaks_plain_http() {
    let host = TestHost::start().await;
    let release = host.prepare("v1", sleeper()).await;
    host.apply(&release, 1, &[]).await;
    let ask = |request: &str, body: &str| {
        let mut stream = UnixStream::connect(host.host.directory().join("socket")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // In one piece: the helper may refuse a request by its head, and close.
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("GET /v1/workloads/web", "");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"id\":\"v1-1\""), "{answer}");
    for (request, body, status, says) in [
        ("GET /v1/nothing", "", "404", "there is no GET"),
        ("GET /v1/workloads/a%2fb", "", "400", "invalid workload name"),
        ("PUT /v1/workloads/web/sets/v1", "{}", "400", "missing field"),
        ("PUT /v1/workloads/web/sets/..", "{}", "400", "invalid set name"),
        ("DELETE /v1/workloads/web/sets/v1", r#"{"epoch":1,"force":true}"#, "400", "unknown field `force`"),
        ("DELETE /v1/workloads/web/sets/v1", r#"{"epoch":0}"#, "409", "epoch 0"),
        ("GET /v1/workloads/web/instances/v9-9/evidence", "", "404", "nothing is known"),
        ("GET /v1/ports/70000", "", "400", "no port"),
    ] {
        let answer = ask(request, body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(says),
            "{request}: {answer}"
        );
    }
    assert_eq!(host.running("v1").await.len(), 1);
}

#[tokio::test]
async fn an_order_is_done_within_milliseconds() {
    let host = TestHost::start().await;
    let mut times = Vec::new();
    for round in 0..10 {
        let release =
            host.prepare(&format!("v{round}"), ProcessSpec::new("/bin/sleep").argument("600")).await;
        let began = Instant::now();
        host.apply(&release, 1, &[]).await;
        times.push(began.elapsed());
    }
    times.sort();
    // A generous bound for machines with much else to do; it is two or three milliseconds on an idle one.
    assert!(times[5] < Duration::from_millis(250), "{times:?}");
}
