//! The embedded proxy as a traffic router, in front of real processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use deployer_core::{
    error::ErrorKind,
    model::{
        Epoch, InFlight, Instance, Maintenance, Member, Proof, Route, RouteMatch, SetId, Share, Split,
        WorkloadId,
    },
    ports::{MetricSource as _, Target as _, TrafficRouter as _},
};
use deployer_local::LocalRouter;
use futures::StreamExt as _;
use support::{LIMIT, TestHost, context, serve, until};

/// Not a test of its own: what this program does when it is started as an instance. It answers with the name of its
/// set; `/wait/<path>` answers when that file exists.
#[test]
fn service() {
    if std::env::var("SERVICE").is_err() {
        return;
    }
    let port = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    for stream in listener.incoming() {
        std::thread::spawn(move || answer(stream.unwrap()));
    }
}

fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let set = std::env::var("DEPLOYER_SET").unwrap();
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line);
        }
        let path = head[0].split(' ').nth(1).unwrap_or("/");
        if let Some(file) = path.strip_prefix("/wait") {
            while !Path::new(file).exists() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let length = set.len();
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{set}");
        let is_last = head.iter().any(|line| line.to_lowercase().starts_with("connection: close"));
        if stream.write_all(text.as_bytes()).is_err() || is_last {
            return;
        }
    }
}

/// One request on a connection of its own: status and the whole answer.
fn get(address: SocketAddr, path: &str, header: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n{header}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no status in {answer:?}")))?;
    Ok((status, answer))
}

fn share(set: &str, weight: u32, instances: &[Instance]) -> Share {
    let members = instances
        .iter()
        .map(|instance| Member { instance: instance.id.clone(), address: instance.address })
        .collect();
    Share { set: SetId::new(set).unwrap(), weight, members }
}

fn all_to(set: &str, instances: &[Instance]) -> Split {
    Split::Serve { shares: vec![share(set, 1, instances)], routes: Vec::new() }
}

async fn started(host: &TestHost, set: &str, replicas: u32) -> Vec<Instance> {
    let release = host.prepare(set, serve("http")).await;
    host.apply(&release, replicas, &[]).await;
    let instances = host.instances(set).await;
    for instance in &instances {
        let address = instance.address.unwrap();
        until("the instance answers", || get(address, "/", "").is_ok()).await;
    }
    instances
}

fn router(host: &TestHost) -> Arc<LocalRouter> {
    host.host.router(WorkloadId::new("web").unwrap(), SocketAddr::from(([127, 0, 0, 1], 0)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_loses_no_request_and_is_proven() {
    let host = TestHost::start().await;
    let v1 = started(&host, "v1", 2).await;
    let router = router(&host);
    let before = router.current(&context(1)).await.unwrap();
    assert_eq!((before.split, before.proof), (Split::EMPTY, Proof::Proven { generation: 0 }));
    let address = router.bind(&context(1)).await.unwrap();
    assert_eq!(router.bind(&context(1)).await.unwrap(), address);
    assert_eq!(get(address, "/", "").unwrap().0, 503, "nobody serves yet");

    router.apply(&context(1), &all_to("v1", &v1)).await.unwrap();
    let first = router.current(&context(1)).await.unwrap();
    assert_eq!(first.split, all_to("v1", &v1));

    let stop = Arc::new(AtomicBool::new(false));
    let (asked, failed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let load = std::thread::spawn({
        let (stop, asked, failed) = (stop.clone(), asked.clone(), failed.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                if !get(address, "/", "").is_ok_and(|(status, _)| status == 200) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let v2 = started(&host, "v2", 2).await;
    router.apply(&context(1), &all_to("v2", &v2)).await.unwrap();
    assert!(get(address, "/", "").unwrap().1.ends_with("v2"), "proven means from now on");
    let second = router.current(&context(1)).await.unwrap();
    let (Proof::Proven { generation: one }, Proof::Proven { generation: two }) = (first.proof, second.proof)
    else {
        panic!("not proven: {first:?}, {second:?}");
    };
    assert!(two > one);
    let members: Vec<Member> = share("v1", 1, &v1).members;
    until_idle(&router, &members).await;
    host.target.remove(&context(1), &SetId::new("v1").unwrap()).await.unwrap();
    host.until_gone("v1").await;
    let after = asked.load(Ordering::Relaxed) + 20;
    until("some more were asked", || asked.load(Ordering::Relaxed) > after).await;
    stop.store(true, Ordering::Relaxed);
    load.join().unwrap();
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {}", asked.load(Ordering::Relaxed));

    // Saying it twice is saying it once.
    router.apply(&context(1), &all_to("v2", &v2)).await.unwrap();
    assert_eq!(router.current(&context(1)).await.unwrap(), second);
}

async fn until_idle(router: &LocalRouter, members: &[Member]) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let loads = router.in_flight(&context(1), members).await.unwrap();
        assert_eq!(loads.len(), members.len());
        if loads.iter().all(|load| *load == InFlight::Known(0)) {
            return;
        }
        assert!(Instant::now() < deadline, "{loads:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_counted_until_they_end() {
    let host = TestHost::start().await;
    let (v1, v2) = (started(&host, "v1", 1).await, started(&host, "v2", 1).await);
    let router = router(&host);
    let address = router.bind(&context(1)).await.unwrap();
    router.apply(&context(1), &all_to("v1", &v1)).await.unwrap();
    let file: PathBuf = host.files().join("go");
    let path = format!("/wait{}", file.display());
    let slow = tokio::task::spawn_blocking(move || get(address, &path, "").unwrap());
    let members = [share("v1", 1, &v1).members, share("v2", 1, &v2).members].concat();
    let deadline = Instant::now() + LIMIT;
    while router.in_flight(&context(1), &members).await.unwrap() != [InFlight::Known(1), InFlight::Known(0)] {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It is out of rotation and still counted.
    router.apply(&context(1), &all_to("v2", &v2)).await.unwrap();
    let loads = router.in_flight(&context(1), &members).await.unwrap();
    assert_eq!(loads, [InFlight::Known(1), InFlight::Known(0)]);
    let mut changes = router.watch(&context(1)).await.unwrap();
    changes.next().await.unwrap();
    fs::write(&file, "").unwrap();
    assert!(slow.await.unwrap().1.ends_with("v1"));
    tokio::time::timeout(LIMIT, changes.next()).await.expect("the end of a drain is told").unwrap();
    until_idle(&router, &members).await;
}

#[tokio::test]
async fn maintenance_weights_and_routes() {
    let host = TestHost::start().await;
    let (v1, v2) = (started(&host, "v1", 1).await, started(&host, "v2", 1).await);
    let router = router(&host);
    let address = router.bind(&context(1)).await.unwrap();
    let page = Maintenance { retry_after_seconds: 7, message: "back soon".to_owned() };
    router.apply(&context(1), &Split::Maintenance(page)).await.unwrap();
    let (status, answer) = get(address, "/", "").unwrap();
    assert!(
        status == 503 && answer.contains("back soon") && answer.to_lowercase().contains("retry-after: 7")
    );

    let header = RouteMatch::Header { name: "x-canary".into(), value: "yes".into() };
    let canary = Split::Serve {
        shares: vec![share("v1", 1, &v1), share("v2", 0, &v2)],
        routes: vec![Route { matches: header, set: SetId::new("v2").unwrap() }],
    };
    router.apply(&context(1), &canary).await.unwrap();
    for _ in 0..5 {
        assert!(get(address, "/", "").unwrap().1.ends_with("v1"));
        assert!(get(address, "/", "x-canary: yes\r\n").unwrap().1.ends_with("v2"));
    }
    let metrics = host.host.metrics(WorkloadId::new("web").unwrap());
    let minute = Duration::from_secs(60);
    let counts = metrics.counts(&context(1), &SetId::new("v2").unwrap(), minute).await.unwrap();
    assert_eq!((counts.total, counts.bad), (5, 0));
    let error = metrics.counts(&context(1), &SetId::new("v9").unwrap(), minute).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(router.stats(&context(1)).await.is_ok());

    // A split that makes no sense changes nothing.
    let unknown = Split::Serve {
        shares: vec![share("v1", 1, &v1)],
        routes: vec![Route {
            matches: RouteMatch::Cookie { name: "c".into(), value: "1".into() },
            set: SetId::new("v3").unwrap(),
        }],
    };
    let error = router.apply(&context(1), &unknown).await.unwrap_err();
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("v3"), "{error}");
    assert_eq!(router.current(&context(1)).await.unwrap().split, canary);
}

#[tokio::test]
async fn a_new_helper_listens_again_with_the_last_split() {
    let host = TestHost::start().await;
    let v1 = started(&host, "v1", 1).await;
    let router = router(&host);
    let address = router.bind(&context(1)).await.unwrap();
    router.apply(&context(1), &all_to("v1", &v1)).await.unwrap();
    assert!(get(address, "/", "").unwrap().1.ends_with("v1"));
    host.kill_helper().await;
    assert!(get(address, "/", "").is_err(), "nobody listens, as the documentation says");
    let view = router.current(&context(1)).await.unwrap();
    assert_eq!(view.split, all_to("v1", &v1));
    assert!(matches!(view.proof, Proof::Proven { .. }));
    assert!(get(address, "/", "").unwrap().1.ends_with("v1"));

    // Its address is taken while no helper lives: instances are served all the same, and the error names it.
    host.kill_helper().await;
    let taken = TcpListener::bind(address).unwrap();
    assert_eq!(host.running("v1").await.len(), 1);
    let error = router.current(&context(1)).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains(&address.to_string()), "{error}");
    drop(taken);
    assert_eq!(router.current(&context(1)).await.unwrap().split, all_to("v1", &v1));
    assert!(get(address, "/", "").unwrap().1.ends_with("v1"));

    router.release(&context(1)).await.unwrap();
    assert!(get(address, "/", "").is_err());
    router.release(&context(1)).await.unwrap();
    assert_eq!(router.current(&context(1)).await.unwrap().split, Split::EMPTY);
}

#[tokio::test]
async fn a_split_that_cannot_be_saved_is_not_in_force() {
    let host = TestHost::start().await;
    let (v1, v2) = (started(&host, "v1", 1).await, started(&host, "v2", 1).await);
    let router = router(&host);
    let address = router.bind(&context(1)).await.unwrap();
    router.apply(&context(1), &all_to("v1", &v1)).await.unwrap();
    let obstacle = host.host.directory().join("state.json.new");
    fs::create_dir(&obstacle).unwrap();
    let error = router.apply(&context(1), &all_to("v2", &v2)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(router.current(&context(1)).await.unwrap().split, all_to("v1", &v1));
    assert!(get(address, "/", "").unwrap().1.ends_with("v1"));
    fs::remove_dir(&obstacle).unwrap();
    router.apply(&context(1), &all_to("v2", &v2)).await.unwrap();
    assert!(get(address, "/", "").unwrap().1.ends_with("v2"));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let host = TestHost::start().await;
    let v1 = started(&host, "v1", 1).await;
    let web = WorkloadId::new("web").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap();
    let router = host.host.router(web.clone(), busy);
    let error = router.apply(&context(1), &all_to("v1", &v1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains(&busy.to_string()) && error.message.contains("choose another"), "{error}");
    // Who only looks learns it too: it is the first thing that a deployment does.
    let error = router.current(&context(1)).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains(&busy.to_string()), "{error}");
    let anywhere = host.host.router(web.clone(), "127.0.0.1:0".parse().unwrap());
    assert_eq!(anywhere.current(&context(1)).await.unwrap().split, Split::EMPTY);
    let elsewhere: SocketAddr = "192.0.2.1:8080".parse().unwrap();
    let error = host.host.router(web.clone(), elsewhere).bind(&context(1)).await.unwrap_err();
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("192.0.2.1"), "{error}");
    drop(taken);

    let mut fresh = context(1);
    fresh.epoch = Epoch(7);
    router.apply(&fresh, &all_to("v1", &v1)).await.unwrap();
    let view = router.current(&fresh).await.unwrap();
    let error = router.apply(&context(6), &Split::EMPTY).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    // The target and the router of a workload share its epoch.
    let error = host.target.remove(&context(6), &SetId::new("v1").unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");

    let second = host.host.router(web, "127.0.0.1:1".parse().unwrap());
    let error = second.apply(&fresh, &Split::EMPTY).await.unwrap_err();
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains(&busy.to_string()), "{error}");
    let worker = host.host.router(WorkloadId::new("worker").unwrap(), busy);
    let error = worker.apply(&fresh, &Split::EMPTY).await.unwrap_err();
    assert!(
        error.kind == ErrorKind::InvalidInput && error.message.contains("serves workload worker"),
        "{error}"
    );
    let mut other = fresh.clone();
    other.workload = WorkloadId::new("worker").unwrap();
    let error = worker.bind(&other).await.unwrap_err();
    assert!(
        error.kind == ErrorKind::InvalidInput && error.message.contains("listener of workload web"),
        "{error}"
    );
    assert_eq!(router.current(&fresh).await.unwrap(), view);
}
