//! Sites that are installed, refused and put back.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows what it found"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use deployer_core::error::ErrorKind;
use deployer_nginx::{
    OwnServer, OwnSettings,
    site::{Site, SiteName, Sites},
};
use support::{get, nginx, request, until, workload};

struct Rig {
    _folder: tempfile::TempDir,
    own: OwnServer,
    available: PathBuf,
    enabled: PathBuf,
    sites: Sites,
}

impl Rig {
    async fn start() -> Self {
        nginx();
        let folder = tempfile::tempdir().unwrap();
        let own = OwnServer::start(OwnSettings::new(folder.path()), &[]).await.unwrap();
        own.server().add(&workload("web")).unwrap();
        let (available, enabled) = (own.directory().join("available"), own.directory().join("http.d"));
        fs::create_dir(&available).unwrap();
        let sites = Sites::new(own.server().clone(), &available, &enabled);
        Self { _folder: folder, own, available, enabled, sites }
    }

    /// All files and links of sites, with what is in them.
    fn disk(&self) -> BTreeMap<PathBuf, String> {
        let read = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| (path.clone(), shown(&path))).collect::<Vec<_>>()
        };
        read(&self.available).into_iter().chain(read(&self.enabled)).collect()
    }

    /// Nothing is left of a change that is under way.
    fn is_settled(&self) -> bool {
        let run = self.own.server().paths().run();
        fs::read_dir(run).unwrap().all(|entry| entry.unwrap().path().extension() != Some("site".as_ref()))
    }
}

fn shown(path: &Path) -> String {
    fs::read_link(path)
        .map_or_else(|_| fs::read_to_string(path).unwrap(), |to| format!("-> {}", to.display()))
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn name() -> SiteName {
    "shop.conf".parse().unwrap()
}

fn site(listen: SocketAddr) -> Site {
    Site::new(name(), listen)
        .server_name("shop.example".parse().unwrap())
        .location("/".parse().unwrap(), workload("web"))
}

async fn serves(listen: SocketAddr) -> bool {
    get(listen, "/").await.is_some_and(|got| got.status == 503)
}

#[tokio::test]
async fn a_site_comes_and_goes() {
    let rig = Rig::start().await;
    let (first, second) = (free(), free());
    let report = rig.sites.install(&site(first)).await.unwrap();
    assert!(report.changed && report.untouched.is_empty());
    until("it is served", async || serves(first).await).await;

    let reloads = rig.own.server().reloads().await;
    assert!(!rig.sites.install(&site(first)).await.unwrap().changed);
    assert_eq!(rig.own.server().reloads().await, reloads, "nothing to do is no reload");

    assert!(rig.sites.install(&site(second)).await.unwrap().changed);
    until("it moved", async || serves(second).await && get(first, "/").await.is_none()).await;
    assert_eq!(rig.disk().len(), 2);

    assert!(rig.sites.remove(&name()).await.unwrap().changed);
    until("it is gone", async || get(second, "/").await.is_none()).await;
    assert!(rig.disk().is_empty() && rig.is_settled());
    assert!(!rig.sites.remove(&name()).await.unwrap().changed);
    rig.own.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_generator_is_linked_and_stays_its_own() {
    let rig = Rig::start().await;
    let listen = free();
    let generated = rig.own.directory().join("bench.conf");
    let text = format!("server {{ listen {listen}; return 200 generated; }}\n");
    fs::write(&generated, &text).unwrap();
    assert!(rig.sites.link(&name(), &generated).await.unwrap().changed);
    until("it is served", async || get(listen, "/").await.is_some_and(|got| got.body == "generated")).await;
    assert!(!rig.sites.link(&name(), &generated).await.unwrap().changed);
    let error = rig.sites.install(&site(free())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    rig.sites.remove(&name()).await.unwrap();
    assert_eq!(fs::read_to_string(&generated).unwrap(), text);
    let error = rig.sites.link(&name(), Path::new("/nowhere/absent.conf")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let error = rig.sites.link(&name(), Path::new("/a;b")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    rig.own.stop().await.unwrap();
}

#[tokio::test]
async fn what_nginx_refuses_is_put_back_and_it_says_why() {
    let rig = Rig::start().await;
    let listen = free();
    rig.sites.install(&site(listen)).await.unwrap();
    until("it is served", async || serves(listen).await).await;
    let before = rig.disk();

    // A workload without files.
    let bad = site(listen).location("/api".parse().unwrap(), workload("nobody"));
    let error = rig.sites.install(&bad).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("nobody.conf") && error.message.contains("No such file"), "{error}");
    assert_eq!(rig.disk(), before);

    // An address that somebody else has: nginx sees that only when it reloads.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = rig.sites.install(&site(taken.local_addr().unwrap())).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("Address already in use"), "{error}");
    assert_eq!(rig.disk(), before);

    // Somebody else's mistake.
    let foreign = rig.enabled.join("foreign.conf");
    fs::write(&foreign, "servr { }\n").unwrap();
    let error = rig.sites.remove(&name()).await.unwrap_err();
    println!("{error}");
    assert!(error.message.contains("servr") && error.message.contains("foreign.conf:1"), "{error}");
    fs::remove_file(&foreign).unwrap();
    assert_eq!(rig.disk(), before);

    rig.own.server().test().await.unwrap();
    assert!(rig.is_settled());
    until("the old one still serves", async || serves(listen).await).await;
    rig.own.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_touched() {
    let rig = Rig::start().await;
    let listen = free();
    let file = rig.available.join("shop.conf");
    let conflict = async |what: &str| {
        let before = rig.disk();
        let error = rig.sites.install(&site(listen)).await.unwrap_err();
        println!("{error}");
        assert_eq!(error.kind, ErrorKind::Conflict, "{what}");
        assert_eq!(rig.disk(), before, "{what}");
        error.message
    };
    fs::write(&file, "server { }").unwrap();
    assert!(conflict("a foreign file").await.contains("is somebody else's"));
    fs::remove_file(&file).unwrap();

    rig.sites.install(&site(listen)).await.unwrap();
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("location /", "location /x")).unwrap();
    assert!(conflict("an edited file").await.contains("was edited"));
    fs::remove_file(&file).unwrap();
    fs::remove_file(rig.enabled.join("shop.conf")).unwrap();

    fs::write(rig.enabled.join("shop.conf"), "# not a link\n").unwrap();
    conflict("a file in the place of the link").await;
    assert_eq!(rig.sites.remove(&name()).await.unwrap_err().kind, ErrorKind::Conflict);
    fs::remove_file(rig.enabled.join("shop.conf")).unwrap();

    let other = format!("server {{ listen {listen}; server_name SHOP.example; }}\n");
    fs::write(rig.enabled.join("other.conf"), other).unwrap();
    assert!(conflict("the same name at the same address").await.contains("other.conf:1"));
    rig.own.stop().await.unwrap();
}

#[tokio::test]
async fn links_that_nobody_reads_are_noticed() {
    let rig = Rig::start().await;
    let elsewhere = rig.own.directory().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let sites = Sites::new(rig.own.server().clone(), &rig.available, &elsewhere);
    let error = sites.install(&site(free())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.message.contains("elsewhere/*;"), "{error}");
    assert!(rig.disk().is_empty() && fs::read_dir(&elsewhere).unwrap().next().is_none());
    rig.own.stop().await.unwrap();
}

#[tokio::test]
async fn servers_that_end_tls_are_said_and_left_alone() {
    let rig = Rig::start().await;
    let (secure, listen) = (free(), free());
    let text =
        format!("server {{\n    listen {secure};\n    server_name *.example;\n    return 200 secure;\n}}\n");
    let tls = rig.enabled.join("tls.conf");
    fs::write(&tls, &text).unwrap();
    let report = rig.sites.install(&site(listen)).await.unwrap();
    assert!(report.untouched.is_empty(), "it does not end TLS yet");
    rig.sites.remove(&name()).await.unwrap();
    // nginx needs no certificate for a server that refuses all handshakes.
    let text = text.replace(";\n    server_name", " ssl;\n    ssl_reject_handshake on;\n    server_name");
    fs::write(&tls, &text).unwrap();
    let report = rig.sites.install(&site(listen)).await.unwrap();
    assert_eq!(report.untouched.len(), 1, "{report:?}");
    assert_eq!(report.untouched[0].place.to_string(), format!("{}:1", tls.display()));
    assert_eq!(fs::read_to_string(&tls).unwrap(), text);
    let again = rig.sites.install(&site(listen)).await.unwrap();
    assert!(!again.changed && again.untouched == report.untouched);
    rig.own.stop().await.unwrap();
}

/// A dropped call is a killed one: it ends at any of its waits.
#[tokio::test]
async fn a_change_that_was_broken_off_is_finished_or_undone_by_the_next() {
    let rig = Rig::start().await;
    let (first, second) = (free(), free());
    rig.sites.install(&site(first)).await.unwrap();
    let mut broken = 0;
    for round in 0..24_u64 {
        let (from, to) = if round % 2 == 0 { (first, second) } else { (second, first) };
        let patience = Duration::from_micros(round * round * 150);
        if tokio::time::timeout(patience, rig.sites.install(&site(to))).await.is_err() {
            broken += u32::from(!rig.is_settled());
        }
        if round % 4 < 2 {
            rig.sites.install(&site(to)).await.unwrap();
        } else {
            rig.sites.remove(&name()).await.unwrap();
            assert!(rig.disk().is_empty(), "{:?}", rig.disk());
            rig.sites.install(&site(to)).await.unwrap();
        }
        assert!(rig.is_settled());
        until("it is where it was told to be", async || {
            let answer = request(to, "/", &[]).await;
            answer.is_some_and(|got| got.status == 503) && get(from, "/").await.is_none()
        })
        .await;
    }
    println!("{broken} of 24 changes were broken off in the middle");
    assert!(broken > 2, "only {broken} were broken off in the middle");
    rig.own.stop().await.unwrap();
}
