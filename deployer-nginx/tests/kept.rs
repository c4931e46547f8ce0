//! Requests on kept connections while nginx is reloaded.

mod support;

use std::{net::SocketAddr, time::Duration};

use deployer_core::{
    model::{InstanceId, Member},
    ports::TrafficRouter as _,
};
use deployer_nginx::NginxSettings;
use deployer_testkit::{
    cases::say,
    load::{FailureKind, Load, LoadResult, Mix},
};
use support::{Stage, all_to, proven, request};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Members that answer with the body that they got.
#[derive(Debug, Default)]
struct Echoes(JoinSet<()>);

impl Echoes {
    async fn member(&mut self, name: &str) -> Member {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        self.0.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(async move { drop(echo(stream).await) });
            }
        });
        Member { instance: InstanceId::new(name).expect("a name"), address: Some(address) }
    }
}

async fn echo(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
}

/// What is lost on kept connections while this goes on.
async fn under_load(listen: SocketAddr, switches: impl Future<Output = ()>) -> LoadResult {
    let mix = Mix { keep_alive_post: 1, keep_alive_get: 0, fresh_get: 0, fresh_post: 0 };
    let load = Load::builder(listen)
        .rate(1000)
        .connections(32)
        .mix(mix)
        .maximum_duration(Duration::from_secs(60))
        .start()
        .expect("a load");
    switches.await;
    load.stop().await
}

async fn losses(settings: NginxSettings) -> LoadResult {
    let stage = Stage::start(settings).await;
    let mut echoes = Echoes::default();
    let splits = [all_to("v1", &[echoes.member("v1-1").await]), all_to("v2", &[echoes.member("v2-1").await])];
    stage.router.apply(&stage.context(), &splits[0]).await.expect("a switch");
    proven(&stage.router, &stage.context(), &splits[0]).await;
    under_load(stage.listen, async {
        for number in 1..=16 {
            let split = &splits[number % 2];
            stage.router.apply(&stage.context(), split).await.expect("a switch");
            proven(&stage.router, &stage.context(), split).await;
        }
    })
    .await
}

/// Clients that were told to close have nothing that a reload could cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_time_spares_kept_connections() {
    let closing_time = Duration::from_millis(150);
    let spared = losses(NginxSettings { closing_time, ..NginxSettings::default() }).await;
    let plain = losses(NginxSettings::default()).await;
    let line = |name: &str, result: &LoadResult| {
        let kinds: Vec<(&FailureKind, &u64)> = result.failed_by_kind.iter().collect();
        say(&format!("{name}: {} of {} kept POSTs lost, {kinds:?}", result.failed, result.requests));
    };
    line("16 switches with closing time", &spared);
    line("16 switches without", &plain);
    assert!(spared.requests > 1000 && plain.requests > 1000);
    // A client that this machine keeps from running for longer than that may still be surprised.
    assert!(spared.failed <= 2 || spared.failed < plain.failed, "{:?}", spared.first_failures);
}

/// While it is about to reload, and not before or after, clients are told to close; refusals included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_told_to_close_before_a_reload_only() {
    let closing_time = Duration::from_millis(300);
    let stage = Stage::start(NginxSettings { closing_time, ..NginxSettings::default() }).await;
    let flag = stage.server().paths().directory().join("closing");
    let told = async || {
        let answer = request(stage.listen, "/", &[]).await.expect("an answer");
        assert_eq!(answer.status, 200);
        // nginx itself says close to HTTP/1.0.
        answer.head.lines().filter(|line| *line == "Connection: close").count() == 2
    };
    let old = stage.serving("v1").await;
    assert!(!told().await && !flag.exists());
    let new = all_to("v2", &stage.members("v2", 1).await);
    let (router, context, split) = (stage.router.clone(), stage.context(), new.clone());
    let switch = tokio::spawn(async move { router.apply(&context, &split).await });
    let mut seen = false;
    while !switch.is_finished() {
        seen |= told().await;
    }
    switch.await.expect("no panic").expect("a switch");
    assert!(seen, "nobody was told");
    stage.proven(&new).await;
    assert!(!told().await && !flag.exists());
    // A refusal ends it as well.
    stage.write_foreign("limit_req_zone $binary_remote_addr zone=other:1m rate=1r/s;");
    stage.server().reload().await.expect("a reload");
    stage.write_foreign("limit_req_zone $host zone=other:1m rate=1r/s;");
    stage.refusal(&old).await;
    assert!(!told().await && !flag.exists());
}

#[tokio::test]
async fn what_a_killed_one_told_clients_ends() {
    let stage = Stage::start(NginxSettings::default()).await;
    let split = stage.serving("v1").await;
    let flag = stage.server().paths().directory().join("closing");
    std::fs::write(&flag, "").expect("a file");
    stage.proven(&split).await;
    assert!(!flag.exists());
}
