//! What a switch by reload costs, and what it gives.

mod support;

use std::{collections::BTreeMap, fs, time::Duration};

use deployer_core::{
    model::{InFlight, Maintenance, Proof, Split, WorkloadId},
    ports::TrafficRouter as _,
};
use deployer_nginx::{NginxSettings, ReloadRouter, Stickiness, Weighting, Worker, WorkerState};
use deployer_testkit::{cases::say, conformance::Ask};
use futures::future::join_all;
use support::{LIMIT, Stage, all_to, context, proven, request, serves, share, workload};
use tokio::time::{Instant, sleep};

/// How long a master that was told is given.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn nothing_is_reloaded_for_nothing() {
    let stage = Stage::start(NginxSettings::default()).await;
    let split = stage.serving("v1").await;
    let view = stage.proven(&split).await;
    let (reloads, before) = (stage.server().reloads().await, fs::read(stage.file()).unwrap());
    for _ in 0..3 {
        stage.router.apply(&stage.context(), &split).await.unwrap();
        assert_eq!(stage.router.current(&stage.context()).await.unwrap(), view);
    }
    assert_eq!(fs::read(stage.file()).unwrap(), before);
    // A newer owner says the same: the fence moves, nginx does not notice.
    stage.router.apply(&context(&stage.web, 9), &split).await.unwrap();
    assert_eq!(stage.router.current(&stage.context()).await.unwrap(), view);
    let late = stage.router.apply(&stage.context(), &split).await.unwrap_err();
    assert!(late.report().contains("epoch 5 is over: 9 has been seen"), "{}", late.report());
    // Nor for a deployer that knows nothing yet.
    let server = deployer_nginx::Server::find(stage.server().settings().clone()).await.unwrap();
    let router = ReloadRouter::new(server.clone(), stage.web.clone());
    assert_eq!(router.current(&stage.context()).await.unwrap(), view);
    assert_eq!(server.reloads().await + stage.server().reloads().await, reloads);
}

#[tokio::test]
async fn switches_at_the_same_time_share_reloads() {
    const WORKLOADS: usize = 8;
    let stage = Stage::start(NginxSettings::default()).await;
    let mut all: Vec<(WorkloadId, std::net::SocketAddr, Split)> = Vec::new();
    for number in 0..WORKLOADS {
        let name = workload(&format!("w{number}"));
        let listen = stage.own.add(&name, ([127, 0, 0, 1], 0).into()).await.unwrap();
        all.push((name, listen, all_to("v1", &stage.members("v1", 1).await)));
    }
    let before = stage.server().reloads().await;
    // As if another deployer reloaded: until it has, all of them are ready to.
    let lock = stage.server().paths().run().join("reload.lock");
    let held = fs::File::options().write(true).create(true).truncate(false).open(lock).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let switches = all.iter().map(|(name, _, split)| {
        let router = ReloadRouter::new(stage.server().clone(), name.clone());
        async move {
            router.apply(&context(name, 5), split).await.unwrap();
            proven(&router, &context(name, 5), split).await
        }
    });
    let release = async {
        let is_written = |name: &WorkloadId| {
            fs::read_to_string(stage.server().paths().workload(name))
                .is_ok_and(|text| text.contains("\"v1\""))
        };
        while !all.iter().all(|(name, ..)| is_written(name)) {
            sleep(Duration::from_millis(5)).await;
        }
        drop(held);
    };
    tokio::join!(join_all(switches), release);
    let reloads = stage.server().reloads().await - before;
    say(&format!("{WORKLOADS} switches at the same time: {reloads} reloads"));
    // The last one may have come a moment after the first one got the lock.
    assert!((1..=2).contains(&reloads), "{reloads} reloads for {WORKLOADS} switches");
    for (_, listen, split) in &all {
        serves(&stage.backends, *listen, split).await;
    }
}

#[tokio::test]
async fn who_asks_during_a_reload_shares_the_next() {
    let stage = Stage::start(NginxSettings::default()).await;
    let before = stage.server().reloads().await;
    let results = join_all((0..20).map(|_| stage.server().reload())).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // The first one, and one for all others; or one for all, where the master was still busy with the one before.
    assert!((1..=2).contains(&(stage.server().reloads().await - before)));
}

#[tokio::test]
async fn who_only_looks_reloads_nothing() {
    let stage = Stage::start(NginxSettings::default()).await;
    stage.serving("v1").await;
    let server = deployer_nginx::Server::find(stage.server().settings().clone()).await.unwrap();
    let looks = ReloadRouter::new(server.clone(), stage.web.clone());
    for set in ["v2", "v3", "v4", "v5", "v6", "v7"] {
        let split = all_to(set, &stage.members(set, 1).await);
        let master = stage.server().master().await.unwrap();
        let before: Vec<u32> = master.workers().unwrap().iter().map(|worker| worker.pid).collect();
        stage.router.apply(&stage.context(), &split).await.unwrap();
        // Both generations answer now, and this one does not know who has reloaded.
        let (start, reloads) = (Instant::now(), server.reloads().await);
        proven(&looks, &stage.context(), &split).await;
        // A master that does nothing for that long has to be told again.
        assert!(
            server.reloads().await == reloads || start.elapsed() > PATIENCE,
            "somebody had told it already"
        );
        let accepts = |worker: &Worker| worker.state == WorkerState::Serving && before.contains(&worker.pid);
        assert!(!master.workers().unwrap().iter().any(accepts), "a proof while an old worker accepts");
    }
}

#[tokio::test]
async fn weights_of_an_upstream_are_exact_over_all_workers() {
    let stage = Stage::start_with(NginxSettings::default(), 4).await;
    let (old, new) = (stage.members("v1", 3).await, stage.members("v2", 1).await);
    let shares = vec![share("v1", 90, &old), share("v2", 10, &new)];
    let split = Split::Serve { shares, routes: Vec::new() };
    stage.router.apply(&stage.context(), &split).await.unwrap();
    proven(&stage.router, &stage.context(), &split).await;
    let mut tally = BTreeMap::new();
    for _ in 0..25 {
        // At once, so that more than one worker takes them.
        let ask = Ask::default();
        for answer in join_all((0..16).map(|_| stage.backends.ask(stage.listen, &ask))).await {
            *tally.entry(answer.by.expect("a member")).or_insert(0) += 1;
        }
    }
    assert_eq!(tally[&new[0].instance], 40);
    assert!(old.iter().all(|member| tally[&member.instance] == 120), "{tally:?}");
}

#[tokio::test]
async fn clients_stay_with_their_set() {
    let settings = NginxSettings { stickiness: Some(Stickiness::default()), ..NginxSettings::default() };
    let stage = Stage::start(settings).await;
    let (old, new) = (stage.members("v1", 1).await, stage.members("v2", 1).await);
    let split = |to_old, to_new| Split::Serve {
        shares: vec![share("v1", to_old, &old), share("v2", to_new, &new)],
        routes: Vec::new(),
    };
    let switch = async |to_old, to_new| {
        let split = split(to_old, to_new);
        stage.router.apply(&stage.context(), &split).await.unwrap();
        proven(&stage.router, &stage.context(), &split).await;
    };
    switch(50, 50).await;
    let mut clients = Vec::new();
    for _ in 0..60 {
        let got = request(stage.listen, "/", &[]).await.unwrap();
        let line = got.head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).expect("a number");
        let cookie = line.split(';').next().unwrap().to_owned();
        assert_eq!(cookie.len(), "deployer_client=".len() + 32, "{line}");
        clients.push((cookie, got.body));
    }
    let set_of = async |cookie: &str| {
        let got = request(stage.listen, "/", &[("Cookie", cookie)]).await.unwrap();
        assert!(!got.head.contains("Set-Cookie"), "a known client gets no new number");
        got.body
    };
    let (mut stayed, mut moved) = (0, 0);
    for (cookie, first) in &clients {
        let again = set_of(cookie).await;
        // The first answer was by the number that the client got with it.
        assert_eq!(again, *first);
    }
    switch(80, 20).await;
    for (cookie, first) in &clients {
        let now = set_of(cookie).await;
        if *first == old[0].instance.as_str() {
            assert_eq!(now, *first, "a set that gets more loses nobody");
            stayed += 1;
        } else if now != *first {
            moved += 1;
        }
    }
    assert!(stayed > 10 && moved > 5, "{stayed} stayed and {moved} moved of {}", clients.len());
}

#[tokio::test]
async fn split_clients_answer_in_expectation() {
    let settings = NginxSettings { weighting: Weighting::SplitClients, ..NginxSettings::default() };
    let stage = Stage::start(settings).await;
    let (old, new) = (stage.members("v1", 1).await, stage.members("v2", 1).await);
    let shares = vec![share("v1", 3, &old), share("v2", 1, &new)];
    let split = Split::Serve { shares, routes: Vec::new() };
    stage.router.apply(&stage.context(), &split).await.unwrap();
    proven(&stage.router, &stage.context(), &split).await;
    let mut to_new = 0;
    for _ in 0..400 {
        let answer = stage.backends.ask(stage.listen, &Ask::default()).await;
        to_new += i32::from(answer.by.as_ref() == Some(&new[0].instance));
    }
    // 4.5 standard deviations of 400 draws of a quarter.
    assert!((to_new - 100).abs() < 39, "{to_new} of 400");
}

#[tokio::test]
async fn maintenance_says_when_to_come_back() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let message = "we'll be back in a minute";
    let split = Split::Maintenance(Maintenance { retry_after_seconds: 61, message: message.to_owned() });
    stage.router.apply(&stage.context(), &split).await.unwrap();
    proven(&stage.router, &stage.context(), &split).await;
    let got = request(stage.listen, "/page.html", &[]).await.unwrap();
    assert_eq!((got.status, got.body.as_str()), (503, message));
    assert!(got.head.contains("Retry-After: 61") && got.head.contains("text/plain"), "{}", got.head);
    stage.router.apply(&stage.context(), &old).await.unwrap();
    stage.proven(&old).await;
}

/// A request that an old worker is still reading will be sent to an old member: no connection to it says so.
#[tokio::test]
async fn an_old_worker_counts_as_a_request() {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let mut slow = TcpStream::connect(stage.listen).await.unwrap();
    slow.write_all(b"POST / HTTP/1.0\r\nHost: test\r\nContent-Length: 4\r\n\r\nab").await.unwrap();
    // The worker has to have begun with it.
    let new = all_to("v2", &stage.members("v2", 1).await);
    let deadline = Instant::now() + LIMIT;
    while request(stage.listen, "/", &[]).await.is_none() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(5)).await;
    }
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
    let members = [old.shares()[0].members.clone(), new.shares()[0].members.clone()].concat();
    let counts = stage.router.in_flight(&stage.context(), &members).await.unwrap();
    assert_eq!(counts[0], InFlight::Known(1), "the old member still gets a request");
    slow.write_all(b"cd").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(old.shares()[0].members[0].instance.as_str()), "{answer}");
    loop {
        let counts = stage.router.in_flight(&stage.context(), &members).await.unwrap();
        if counts[0] == InFlight::Known(0) {
            break;
        }
        assert!(Instant::now() < deadline, "{counts:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Between the start of new workers and the end of old ones both answer.
#[tokio::test]
async fn a_proof_waits_for_old_workers_that_still_accept() {
    let stage = Stage::start(NginxSettings { confirmations: 1, ..NginxSettings::default() }).await;
    let splits = [all_to("v1", &stage.members("v1", 1).await), all_to("v2", &stage.members("v2", 1).await)];
    let mut pending = 0;
    for number in 0..6 {
        let split = &splits[number % 2];
        stage.router.apply(&stage.context(), split).await.unwrap();
        let deadline = Instant::now() + LIMIT;
        loop {
            let view = stage.router.current(&stage.context()).await.unwrap();
            if matches!(view.proof, Proof::Proven { .. }) {
                break;
            }
            pending += 1;
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(2)).await;
        }
        for _ in 0..50 {
            let answer = stage.backends.ask(stage.listen, &Ask::default()).await;
            assert_eq!(answer.by.as_ref(), Some(&split.shares()[0].members[0].instance));
        }
    }
    assert!(pending >= 6, "a proof right after the signal is none: {pending}");
}

#[tokio::test]
async fn many_workers_are_proven_too() {
    let stage = Stage::start_with(NginxSettings::default(), 24).await;
    for set in ["v1", "v2", "v3"] {
        let split = stage.serving(set).await;
        // Another one, which knows no workers, comes to the same.
        let server = deployer_nginx::Server::find(stage.server().settings().clone()).await.unwrap();
        let other = ReloadRouter::new(server.clone(), stage.web.clone());
        proven(&other, &stage.context(), &split).await;
        assert_eq!(server.reloads().await, 0);
    }
}

#[tokio::test]
async fn a_worker_that_never_ends_is_bounded_by_nginx_itself() {
    use tokio::{io::AsyncWriteExt as _, net::TcpStream};
    let stage = Stage::start(NginxSettings::default()).await;
    let main = &stage.server().settings().main_config;
    let text = fs::read_to_string(main).unwrap();
    fs::write(main, format!("worker_shutdown_timeout 1s;\n{text}")).unwrap();
    let old = stage.serving("v1").await;
    let mut never = TcpStream::connect(stage.listen).await.unwrap();
    never.write_all(b"POST / HTTP/1.0\r\nHost: test\r\nContent-Length: 4\r\n\r\nab").await.unwrap();
    stage.serves(&old).await;
    let new = all_to("v2", &stage.members("v2", 1).await);
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
    let members = &old.shares()[0].members;
    let begun = Instant::now();
    while stage.router.in_flight(&stage.context(), members).await.unwrap() != [InFlight::Known(0)] {
        assert!(begun.elapsed() < LIMIT, "the old worker lives on");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(500), "nobody waited: {:?}", begun.elapsed());
}

#[tokio::test]
async fn each_connection_to_a_member_is_counted() {
    let stage = Stage::start(NginxSettings { buffering: false, ..NginxSettings::default() }).await;
    let old = stage.serving("v1").await;
    let members = old.shares()[0].members.clone();
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(stage.backends.hold(stage.listen).await.expect("a request that lasts"));
    }
    let count = async || match stage.router.in_flight(&stage.context(), &members).await.unwrap()[..] {
        [InFlight::Known(count)] => count,
        ref other => panic!("{other:?}"),
    };
    assert!(count().await >= 7, "unused connections count too, as long as the member is in the split");
    let new = all_to("v2", &stage.members("v2", 1).await);
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
    assert_eq!(count().await, 7);
    drop(held);
    let deadline = Instant::now() + LIMIT;
    while count().await > 0 {
        assert!(Instant::now() < deadline, "they do not end");
        sleep(Duration::from_millis(5)).await;
    }
}
