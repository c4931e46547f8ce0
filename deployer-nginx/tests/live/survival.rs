//! What outlives nginx, and what outlives the deployer.

use std::{fs, net::SocketAddr, time::Duration};

use deployer_core::{
    error::ErrorKind,
    model::{Maintenance, Split, WorkloadId},
    ports::TrafficRouter as _,
};
use deployer_nginx::{LiveRouter, NginxSettings, OwnServer, OwnSettings, RouterKind, WorkerState};
use deployer_testkit::{cases::say, conformance::Backends};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::{
    client::Client,
    rig::{LiveRig, context},
    splits::{all_to, in_flight, member, proven, share, switch},
    support::{LIMIT, get, nginx, workload},
};

async fn start(folder: &std::path::Path, web: &WorkloadId, listen: SocketAddr) -> OwnServer {
    let settings = NginxSettings { router: Some(RouterKind::Live), ..NginxSettings::default() };
    let settings = OwnSettings { nginx: settings, ..OwnSettings::new(folder) };
    OwnServer::start(settings, &[(web.clone(), listen)]).await.unwrap()
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

async fn gone(listen: SocketAddr) {
    let deadline = Instant::now() + LIMIT;
    while tokio::net::TcpStream::connect(listen).await.is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_split_outlives_a_restart() {
    nginx();
    let folder = tempfile::tempdir().unwrap();
    let backends = Backends::new();
    let members = backends.members(&"v2".parse().unwrap(), 2).await;
    let web = workload("web");
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let context = context(&web);
    let split = all_to("v2", &members);

    let own = start(folder.path(), &web, listen).await;
    let router = LiveRouter::new(own.server().clone(), web.clone());
    switch(&router, &context, &Split::Maintenance(Maintenance::default())).await;
    let generation = switch(&router, &context, &split).await;
    own.stop().await.unwrap();
    gone(listen).await;

    for signal in ["SIGTERM", "SIGKILL"] {
        let own = start(folder.path(), &web, listen).await;
        // Nobody has told it anything.
        let begun = Instant::now();
        let answer = get(listen, "/").await.unwrap();
        assert!(answer.status == 200 && answer.body.starts_with("v2-"), "{answer:?}");
        say(&format!("live, after a restart: the first request was answered in {:.1?}", begun.elapsed()));
        let router = LiveRouter::new(own.server().clone(), web.clone());
        assert_eq!(proven(&router, &context, &split).await, generation);
        let master = own.server().master().await.unwrap();
        if signal == "SIGTERM" {
            kill(master.pid(), Signal::TERM);
        } else {
            let workers = master.workers().unwrap();
            kill(master.pid(), Signal::KILL);
            for worker in &workers {
                kill(worker.pid, Signal::KILL);
            }
        }
        gone(listen).await;
        // While it is down nothing is made up.
        let error = router.current(&context).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        let error = router.in_flight(&context, &members).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        drop(own);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_split_and_what_is_in_flight_outlive_a_reload() {
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let members = rig.backends.members(&"v1".parse().unwrap(), 1).await;
    let split = all_to("v1", &members);
    let address = rig.address(&web).await;
    let generation = switch(&router, &context, &split).await;
    let held = rig.backends.hold(address).await.unwrap();
    rig.own.server().reload().await.unwrap();
    assert_eq!(proven(&router, &context, &split).await, generation);
    let master = rig.own.server().master().await.unwrap();
    let old = |worker: &deployer_nginx::Worker| worker.state == WorkerState::ShuttingDown;
    let deadline = Instant::now() + LIMIT;
    while !master.workers().unwrap().iter().any(old) {
        assert!(Instant::now() < deadline, "no worker is shutting down");
        sleep(Duration::from_millis(5)).await;
    }
    // The old worker has it, and the new ones know.
    in_flight(&router, &context, &members[0], 1).await;
    drop(held);
    in_flight(&router, &context, &members[0], 0).await;
    assert_eq!(get(address, "/").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_and_not_told_is_told_by_the_next_look() {
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let members = rig.backends.members(&"v1".parse().unwrap(), 1).await;
    let address = rig.address(&web).await;
    switch(&router, &context, &all_to("v1", &members)).await;
    let state = rig.own.server().paths().state(&web);
    let before = fs::read(&state).unwrap();
    let closed = Split::Maintenance(Maintenance { retry_after_seconds: 77, message: "back soon".to_owned() });
    let generation = switch(&router, &context, &closed).await;
    let after = fs::read(&state).unwrap();
    // As if the deployer had died between the file and nginx: nginx is back at the one before.
    fs::remove_file(&state).unwrap();
    let forgotten = rig.own.server().ask("DELETE", "/live/web/split", b"", LIMIT).await.unwrap();
    assert_eq!(forgotten.status, 200);
    let told = rig.own.server().ask("PUT", "/live/web/split", &before, LIMIT).await.unwrap();
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(get(address, "/").await.unwrap().status, 200);
    fs::write(&state, &after).unwrap();
    assert_eq!(proven(&router, &context, &closed).await, generation);
    let answer = get(address, "/").await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (503, "back soon"));
    assert!(answer.head.contains("Retry-After: 77"), "{}", answer.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_file_is_noticed_and_a_lost_one_is_replaced() {
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let members = rig.backends.members(&"v1".parse().unwrap(), 2).await;
    let address = rig.address(&web).await;
    let split = all_to("v1", &members);
    switch(&router, &context, &split).await;
    let generation = switch(&router, &context, &all_to("v1", &members[..1])).await;
    let state = rig.own.server().paths().state(&web);
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace("tries 3", "tries 1")).unwrap();
    for error in
        [router.current(&context).await.unwrap_err(), router.apply(&context, &split).await.unwrap_err()]
    {
        assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}");
        assert!(error.message.contains("edited by somebody else"), "{error}");
    }
    assert_eq!(get(address, "/").await.unwrap().status, 200, "nginx has what it had");
    fs::remove_file(&state).unwrap();
    // The number goes on where nginx is, so that nobody takes the new split for an old one.
    let generation = {
        let next = switch(&router, &context, &split).await;
        assert!(next > generation, "{next} after {generation}");
        next
    };
    fs::remove_file(&state).unwrap();
    assert_eq!(proven(&router, &context, &split).await, generation);
    assert!(state.exists(), "it is written again");
    router.forget(&context).await.unwrap();
    assert_eq!(proven(&router, &context, &Split::EMPTY).await, 0);
    assert_eq!(get(address, "/").await.unwrap().status, 503);
    let mut old_master = rig.own.server().settings().pid_file.clone().into_os_string();
    old_master.push(".oldbin");
    fs::write(&old_master, "1").unwrap();
    let error = router.apply(&context, &split).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    fs::remove_file(&old_master).unwrap();
    switch(&router, &context, &split).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nginx_cannot_take_changes_nothing() {
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let members = rig.backends.members(&"v1".parse().unwrap(), 1).await;
    let address = rig.address(&web).await;
    let split = all_to("v1", &members);
    let generation = switch(&router, &context, &split).await;
    let server = rig.own.server();
    let good = fs::read_to_string(server.paths().state(&web)).unwrap();
    let newer = good.replace(&format!("generation {generation}"), "generation 99");
    let too_long = newer.replace("end\n", &format!("{}end\n", "tries 3\n".repeat(1_000_000)));
    for (text, status) in [
        (newer.replace("end\n", ""), 400),
        (newer.replace("tries 3", "tries x"), 400),
        (newer.replace("member", "os.execute"), 400),
        (newer.replace("live 1", "live 2"), 400),
        (String::new(), 400),
        (good.replace(&format!("generation {generation}"), "generation 0"), 409),
        (too_long, 413),
    ] {
        let answer = server.ask("PUT", "/live/web/split", text.as_bytes(), LIMIT).await;
        // What is far too long is cut off while it is sent.
        assert!(
            answer.as_ref().map_or(status == 413, |answer| answer.status == status),
            "{answer:?} for {text:.200}"
        );
    }
    for path in ["/live/web", "/live/../split", "/live/web/nothing", "/live/a%0ab/split"] {
        assert_eq!(server.ask("GET", path, b"", LIMIT).await.unwrap().status, 404, "{path}");
    }
    assert_eq!(proven(&router, &context, &split).await, generation);
    assert_eq!(get(address, "/").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_may_read_what_they_need_after_a_restart() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let server = rig.own.server();
    let state = server.paths().state(&web);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directories = [state.parent().unwrap(), &server.paths().lua()].map(std::path::Path::to_owned);
    for directory in &directories {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert!(!server.prepare().unwrap(), "nothing that nginx has to read again");
    switch(&router, &context, &Split::Maintenance(Maintenance::default())).await;
    assert_eq!(directories.map(|directory| mode(&directory)), [0o755, 0o755]);
    assert_eq!((mode(&state), mode(&server.paths().lua().join("load.lua"))), (0o644, 0o644));
    assert_eq!(mode(&server.paths().run()), 0o700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_refuses_and_keeps_the_split_before() {
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let members = rig.backends.members(&"v1".parse().unwrap(), 1).await;
    let address = rig.address(&web).await;
    let split = all_to("v1", &members);
    let generation = switch(&router, &context, &split).await;
    let server = rig.own.server();
    let before = fs::read_to_string(server.paths().state(&web)).unwrap();
    // Room for each is asked for as a whole, so that some is left at last, and then smaller ones.
    let mut number = 0;
    for lines in [200_000, 20_000, 2000, 200, 20] {
        let text = before.replace("end\n", &format!("{}end\n", "tries 3\n".repeat(lines)));
        loop {
            number += 1;
            let path = format!("/live/filler-{number}/split");
            let answer = server.ask("PUT", &path, text.as_bytes(), LIMIT).await.unwrap();
            if answer.status == 507 {
                break;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    let many =
        [members.clone(), (1..200).map(|n| member(&format!("v2-{n}"), ([127, 0, 0, 1], n).into())).collect()];
    let error = router.apply(&context, &all_to("v2", &many.concat())).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("no memory"), "{error:?}");
    assert_eq!(fs::read_to_string(server.paths().state(&web)).unwrap(), before, "the file is as before");
    assert_eq!(proven(&router, &context, &split).await, generation);
    assert_eq!(get(address, "/").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_is_not_waited_for() {
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let members = rig.backends.members(&"v1".parse().unwrap(), 1).await;
    let address = rig.address(&web).await;
    switch(&router, &context, &all_to("v1", &members)).await;
    let _held = rig.backends.hold(address).await.unwrap();
    in_flight(&router, &context, &members[0], 1).await;
    let master = rig.own.server().master().await.unwrap();
    for worker in master.workers().unwrap() {
        kill(worker.pid, Signal::KILL);
    }
    in_flight(&router, &context, &members[0], 0).await;
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_end_elsewhere_are_counted_to_their_end() {
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let members = rig.backends.members(&"v1".parse().unwrap(), 1).await;
    rig.address(&web).await;
    let nobody = member("v2-0001", "127.0.0.1:1".parse().unwrap());
    let shares = vec![share("v1", 1, &members), share("v2", 1, std::slice::from_ref(&nobody))];
    switch(&router, &context, &Split::Serve { shares, routes: Vec::new() }).await;
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let location = rig.own.server().paths().location(&web);
    let site = format!(
        "server {{ listen {listen}; error_page 502 /sorry; location = /sorry {{ return 200 sorry; }}\n\
         location / {{ include {location}; }}\n\
         location /falls {{ error_page 502 = @other; include {location}; }}\n\
         location @other {{ include {location}; }}\n\
         location /asks {{ auth_request /auth; empty_gif; }}\n\
         location = /auth {{ internal; include {location}; }} }}\n",
        location = location.display()
    );
    fs::write(rig.own.directory().join("http.d/other.conf"), site).unwrap();
    rig.own.server().reload().await.unwrap();
    for path in ["/", "/asks", "/falls"] {
        for _ in 0..20 {
            get(listen, path).await.unwrap();
        }
    }
    // The last one ends at the error page: nobody comes after it who could put things right.
    while get(listen, "/").await.unwrap().body != "sorry" {}
    // Each of them has met the one who is nobody, and ended somewhere else than where it began.
    let log = fs::read_to_string(rig.own.directory().join("error.log")).unwrap();
    let refused: Vec<_> = log.lines().filter(|line| line.contains("Connection refused")).collect();
    for path in ["/", "/asks", "/falls"] {
        let request = format!("request: \"GET {path} ");
        assert!(refused.iter().any(|line| line.contains(&request)), "{path}: {refused:#?}");
    }
    for member in members.iter().chain([&nobody]) {
        in_flight(&router, &context, member, 0).await;
    }
}
