//! Finding the way in a configuration that is there.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows what it found"
)]

mod support;

use std::{fs, path::Path};

use deployer_core::error::ErrorKind;
use deployer_nginx::{
    NginxSettings, OwnServer, OwnSettings, RouterKind,
    adopt::{Change, Existing, Find, advise},
};
use support::{get, nginx, until, workload};

const FOREIGN: &str = r#"# Written by somebody else.
upstream backend {
    ip_hash;
    server 127.0.0.1:PORT;
    server shop.internal:80 down;
}
server {
    listen 127.0.0.1:LISTEN;
    server_name shop.example *.shop.example;
    location / {
        # Well meant.
        proxy_set_header Host $host;
        proxy_set_header X-Own 1; set $own 1;
        proxy_http_version 1.1;
        proxy_pass http://backend;
    }
    location /static { return 200 "static"; }
    location /old/ {
        proxy_pass http://127.0.0.1:PORT/new/;
    }
    location = /maybe {
        if ($arg_x) {
            proxy_pass http://backend;
        }
    }
}
"#;

/// An application that answers everything with `old`.
async fn old_application() -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold").await;
        }
    });
    address
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Does by hand what is advised: in each block the line right behind its first, and without those to remove.
fn follow(changes: &[&Change]) {
    let mut files: Vec<&Path> = changes.iter().map(|change| change.block.file.as_path()).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        for change in changes.iter().filter(|change| change.block.file.as_path() == file) {
            for removal in &change.remove {
                assert_eq!(lines[removal.place.line - 1].trim(), removal.line);
                lines[removal.place.line - 1].clear();
            }
            if !change.done {
                let first = &mut lines[change.block.line - 1];
                *first = format!("{first}\n{}", change.line);
            }
        }
        fs::write(file, lines.join("\n") + "\n").unwrap();
    }
}

#[tokio::test]
async fn a_person_who_follows_the_advice_has_adopted_the_service() {
    nginx();
    let folder = tempfile::tempdir().unwrap();
    // What is included for reloads has more that could stand there twice.
    let nginx = NginxSettings {
        router: Some(RouterKind::Reload),
        closing_time: std::time::Duration::from_millis(100),
        ..NginxSettings::default()
    };
    let settings = OwnSettings { nginx, ..OwnSettings::new(folder.path()) };
    let own = OwnServer::start(settings, &[]).await.unwrap();
    let (application, listen) = (old_application().await, free_port());
    let foreign = own.directory().join("http.d/shop.conf");
    let text = FOREIGN.replace("PORT", &application.port().to_string());
    // nginx would have to know this name.
    let text = text.replace("LISTEN", &listen.to_string()).replace("server shop.internal:80 down;\n", "\n");
    fs::write(&foreign, &text).unwrap();
    let server = own.server();
    server.reload().await.unwrap();
    let address = ([127, 0, 0, 1], listen).into();
    until("the site is served", async || get(address, "/").await.is_some_and(|got| got.body == "old")).await;

    let shop = workload("shop");
    let existing = Existing::of(server).await.unwrap();
    let wanted = Find::Location { server_name: "www.shop.example".to_owned(), path: "/".to_owned() };
    let advice = advise(server, &existing, &shop, &wanted).unwrap();
    println!("{advice}");
    assert!(advice.obstacles.is_empty(), "{advice}");
    assert!(advice.http.done, "its own nginx includes it already");
    assert_eq!(advice.members, [application]);
    let [location] = advice.locations.as_slice() else { panic!("{advice}") };
    assert_eq!((location.block.line, location.block.file.as_path()), (10, foreign.as_path()));
    let removed: Vec<_> = location.remove.iter().map(|removal| removal.line.as_str()).collect();
    assert_eq!(
        removed,
        ["proxy_set_header Host $host;", "proxy_http_version 1.1;", "proxy_pass http://backend;"]
    );
    assert_eq!(fs::read_to_string(&foreign).unwrap(), text, "nothing is written");

    server.add(&shop).unwrap();
    follow(&[&advice.http, location]);
    server.test().await.unwrap();
    server.reload().await.unwrap();
    // Old workers answer for a moment more.
    until("deployer answers", async || get(address, "/").await.is_some_and(|got| got.status == 503)).await;
    assert_eq!(get(address, "/static").await.unwrap().body, "static");

    let existing = Existing::of(server).await.unwrap();
    assert_eq!(existing.services().len(), 3, "with those of included files");
    let own_upstream = existing.services().into_iter().find(|service| service.path == "/").unwrap();
    assert_eq!(own_upstream.server.place.file.as_path(), foreign);
    let again = advise(server, &existing, &shop, &wanted).unwrap();
    assert!(again.locations[0].done && again.locations[0].remove.is_empty(), "{again}");
    own.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_included_as_it_is_is_said() {
    nginx();
    let folder = tempfile::tempdir().unwrap();
    let own = OwnServer::start(OwnSettings::new(folder.path()), &[]).await.unwrap();
    let files = folder.path().join("foreign");
    fs::create_dir(&files).unwrap();
    let main = files.join("nginx.conf");
    fs::write(&main, "events { }\nhttp {\n    include sites/*;\n}\n").unwrap();
    fs::create_dir(files.join("sites")).unwrap();
    let text = FOREIGN.replace("PORT", "4000").replace("LISTEN", "80 ssl");
    fs::write(files.join("sites/shop"), text).unwrap();
    let existing = Existing::read(&main).unwrap();
    let shop = workload("shop");
    let of = |wanted| advise(own.server(), &existing, &shop, &wanted);

    let by_address = of(Find::Member("127.0.0.1:4000".parse().unwrap())).unwrap();
    println!("{by_address}");
    assert_eq!(by_address.locations.len(), 3);
    let text = by_address.to_string();
    let site = files.join("sites/shop");
    let shown = site.display();
    for expected in [
        format!("first solve: {shown}:19: it puts \"/new/\" in the place of \"/old/\""),
        format!("first solve: {shown}:23: it passes on within an `if`"),
        format!(
            "in `http` at {}:2, add: include {}/deployer/http.conf;",
            main.display(),
            own.directory().display()
        ),
        format!("in `location /` at {shown}:10, add: include"),
        format!("  and remove {shown}:15: proxy_pass http://backend;"),
        format!("note: {shown}:2: shop.internal:80 is no address and port"),
        format!("note: {shown}:2: `ip_hash` of upstream backend does not apply"),
        format!("note: {shown}:7: this server ends TLS and goes on doing so, untouched"),
        "answering now: 127.0.0.1:4000".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected:?} is not in\n{text}");
    }
    assert_eq!(of(Find::Upstream("backend".to_owned())).unwrap().locations.len(), 2);

    let tls = existing.tls_servers();
    assert_eq!((tls.len(), tls[0].place.line, tls[0].certificate.as_deref()), (1, 7, None));
    assert!(tls[0].is_for("shop.example") && tls[0].is_for("www.shop.example") && !tls[0].is_for("example"));

    let nothing = of(Find::Upstream("nobody".to_owned())).unwrap_err();
    assert_eq!(nothing.kind, ErrorKind::NotFound);
    assert!(nothing.message.contains("location / of server shop.example"), "{}", nothing.message);
    own.stop().await.unwrap();
}

#[test]
fn a_configuration_that_cannot_be_read_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("nginx.conf");
    let read = |text: &str| {
        fs::write(&main, text).unwrap();
        Existing::read(&main).unwrap_err()
    };
    assert_eq!(read("include absent.conf;").kind, ErrorKind::NotFound);
    let error = read("http {\n  server {\n");
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(
        error.report().contains("nginx.conf is no configuration: line 2: a brace is not closed"),
        "{}",
        error.report()
    );
    let error = read("include nginx.conf;");
    assert!(error.message.contains("is included by a file that it includes"), "{error}");
    assert_eq!(Existing::from_dump("nginx: [emerg] no\n").unwrap_err().kind, ErrorKind::InvalidInput);
}
