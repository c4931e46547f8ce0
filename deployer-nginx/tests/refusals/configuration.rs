//! Files that are not ours, and ours that somebody else edited.

use std::{fs, net::TcpListener, time::Duration};

use deployer_core::{
    error::ErrorKind,
    model::{Proof, Split},
    ports::TrafficRouter as _,
};
use deployer_nginx::{NginxSettings, ReloadRouter, Server};
use tokio::time::{Instant, sleep};

use crate::support::{LIMIT, Stage, all_to, context, share};

#[tokio::test]
async fn a_listen_port_that_is_taken_at_reload() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let generation = stage.proven(&old).await.proof;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    stage.write_foreign(&format!("server {{ listen {address}; return 204; }}"));
    // Neither the test nor the signal says anything about it.
    stage.server().test().await.unwrap();

    let new = all_to("v2", &stage.members("v2", 1).await);
    let error = stage.refusal(&new).await;
    let words = error.report();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{words}");
    assert!(words.contains(&format!("bind() to {address} failed")), "{words}");
    assert!(words.contains("the file before is back, and still answers"), "{words}");
    assert_eq!(stage.proven(&old).await.proof, generation);
    let kept = fs::read_to_string(stage.server().paths().refused(&stage.web)).unwrap();
    assert!(kept.contains("v2"), "the refused file is kept: {kept}");

    // An owner whose switch was refused has been seen all the same.
    stage.router.apply(&context(&stage.web, 9), &new).await.unwrap_err();
    let late = stage.router.apply(&stage.context(), &new).await.unwrap_err();
    assert!(late.report().contains("epoch 5 is over: 9 has been seen"), "{}", late.report());
    drop(taken);
    stage.router.apply(&context(&stage.web, 9), &new).await.unwrap();
    stage.proven(&new).await;
}

#[tokio::test]
async fn names_and_syntax_of_others() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let new = all_to("v2", &stage.members("v2", 1).await);
    for (foreign, words) in [
        (
            "upstream other { server name-of-nobody.invalid; }",
            "host not found in upstream \"name-of-nobody.invalid\"",
        ),
        ("upstream other {", "unexpected end of file"),
        ("upstream other { server 127.0.0.1:1; }}", "unexpected \"}\""),
        ("no_such_directive on;", "unknown directive \"no_such_directive\""),
    ] {
        stage.write_foreign(foreign);
        let reloads = stage.server().reloads().await;
        let error = stage.refusal(&new).await;
        assert_eq!(error.kind, ErrorKind::Unavailable, "{}", error.report());
        assert!(error.report().contains(words), "{}", error.report());
        assert!(
            error.report().contains("http.d/foreign.conf:1"),
            "named as people know it: {}",
            error.report()
        );
        assert_eq!(stage.server().reloads().await, reloads, "nginx was not even told");
        stage.proven(&old).await;
    }
    stage.router.apply(&context(&stage.web, 9), &new).await.unwrap_err();
    stage.write_foreign("");
    let late = stage.router.apply(&stage.context(), &new).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Conflict, "{}", late.report());
    stage.router.apply(&context(&stage.web, 9), &new).await.unwrap();
    stage.proven(&new).await;
}

#[tokio::test]
async fn a_configuration_that_does_not_include_ours() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let main = &stage.server().settings().main_config;
    let text = fs::read_to_string(main).unwrap();
    let without: Vec<_> = text.lines().filter(|line| !line.contains("include")).collect();
    fs::write(main, without.join("\n")).unwrap();
    let error = stage.refusal(&all_to("v2", &stage.members("v2", 1).await)).await;
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.report().contains("add `include"), "{}", error.report());
    fs::write(main, "http {").unwrap();
    let error = stage.refusal(&all_to("v2", &stage.members("v2", 1).await)).await;
    assert!(error.report().contains("unexpected end of file"), "{}", error.report());
    stage.serves(&old).await;
    // Through another file it is found as well.
    let other = stage.own.directory().join("included.conf");
    fs::write(&other, format!("include {};\n", stage.server().paths().http().display())).unwrap();
    fs::write(main, text.replace(&stage.server().paths().http().display().to_string(), "incl[xy]ded.conf"))
        .unwrap();
    let error = stage.refusal(&all_to("v3", &stage.members("v3", 1).await)).await;
    assert!(error.report().contains("add `include"), "nothing fits that pattern: {}", error.report());
    fs::write(main, text.replace(&stage.server().paths().http().display().to_string(), "incl[t-v]d*.conf"))
        .unwrap();
    let new = all_to("v4", &stage.members("v4", 1).await);
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
}

#[tokio::test]
async fn a_file_that_somebody_else_edited() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let edited = format!("{}# mine\n", fs::read_to_string(stage.file()).unwrap());
    fs::write(stage.file(), &edited).unwrap();
    let new = all_to("v2", &stage.members("v2", 1).await);
    let error = stage.refusal(&new).await;
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.report().contains("edited by somebody else"), "{}", error.report());
    let seen = stage.router.current(&stage.context()).await.unwrap_err();
    assert_eq!(seen.kind, ErrorKind::Conflict, "{}", seen.report());
    assert_eq!(fs::read_to_string(stage.file()).unwrap(), edited);
    stage.serves(&old).await;
    // A fence is one for people too.
    let late = stage.router.overwrite(&context(&stage.web, 4), &new).await.unwrap_err();
    assert!(late.report().contains("epoch 4 is over"), "{}", late.report());
    stage.router.overwrite(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;

    fs::write(stage.file(), "").unwrap();
    let foreign = stage.refusal(&old).await;
    assert!(foreign.report().contains("not written by this version"), "{}", foreign.report());
    fs::remove_file(stage.file()).unwrap();
    let gone = stage.router.apply(&stage.context(), &old).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound, "{}", gone.report());
    stage.serves(&new).await;
    stage.router.overwrite(&stage.context(), &old).await.unwrap();
    let Proof::Proven { generation } = stage.proven(&old).await.proof else { panic!("not proven") };
    assert!(generation > 2, "a number that ran before is not used again: {generation}");
}

#[tokio::test]
async fn a_refused_overwrite_puts_the_edit_back() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let edited = format!("{}# mine\n", fs::read_to_string(stage.file()).unwrap());
    fs::write(stage.file(), &edited).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    stage.write_foreign(&format!("server {{ listen {}; }}", taken.local_addr().unwrap()));
    let new = all_to("v2", &stage.members("v2", 1).await);
    let error = stage.router.overwrite(&stage.context(), &new).await.unwrap_err();
    assert!(error.report().contains("bind()"), "{}", error.report());
    assert_eq!(fs::read_to_string(stage.file()).unwrap(), edited);
    stage.serves(&old).await;
}

#[tokio::test]
async fn an_upstream_without_an_active_member() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let members = stage.members("v2", 1).await;
    for shares in [
        vec![share("v2", 100, &[])],
        vec![share("v1", 90, &members), share("v2", 10, &[])],
        vec![share("v2", 0, &members)],
    ] {
        let error = stage.refusal(&Split::Serve { shares, routes: Vec::new() }).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        let words = error.report();
        assert!(words.contains("no active member") || words.contains("nobody is reached"), "{words}");
        stage.proven(&old).await;
    }
}

/// The test and the reload succeed, and nothing changes: the running nginx reads another file.
#[tokio::test]
async fn a_main_file_that_nginx_does_not_read() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let (main, paths) = (&stage.server().settings().main_config, stage.server().paths());
    let copy = stage.own.directory().join("copy.conf");
    fs::copy(main, &copy).unwrap();
    let frozen = stage.own.directory().join("frozen");
    fs::create_dir(&frozen).unwrap();
    fs::copy(stage.file(), frozen.join("web.conf")).unwrap();
    let http = fs::read_to_string(paths.http()).unwrap();
    let http = http.replace(&paths.workloads().display().to_string(), &frozen.display().to_string());
    fs::write(frozen.join("http"), http).unwrap();
    let text = fs::read_to_string(main).unwrap();
    let text = text.replace(&paths.http().display().to_string(), &frozen.join("http").display().to_string());
    fs::write(main, text).unwrap();

    let settings = NginxSettings { main_config: copy, ..stage.server().settings().clone() };
    let server = Server::find(settings).await.unwrap();
    let router = ReloadRouter::new(server.clone(), stage.web.clone());
    let new = all_to("v2", &stage.members("v2", 1).await);
    router.apply(&stage.context(), &new).await.unwrap();
    let deadline = Instant::now() + LIMIT;
    let error = loop {
        match router.current(&stage.context()).await {
            Ok(view) => assert_eq!(view.proof, Proof::Pending),
            Err(error) => break error,
        }
        assert!(Instant::now() < deadline, "nothing was said");
        sleep(Duration::from_millis(20)).await;
    };
    assert!(error.report().contains("copy.conf what it reads"), "{}", error.report());
    assert_eq!(server.reloads().await, 1, "it is not told again and again");
    stage.serves(&old).await;
}

/// Paths of the configuration count from its own directory, also in the copy that is tested.
#[tokio::test]
async fn relative_includes_are_read_by_the_test() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let folder = stage.own.directory();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let new = all_to("v2", &stage.members("v2", 1).await);
    for include in [format!("../{name}/extra.conf"), "extra.conf".to_owned(), "ext*.conf".to_owned()] {
        stage.write_foreign(&format!("include {include};"));
        fs::write(folder.join("extra.conf"), "no_such_directive on;").unwrap();
        let error = stage.refusal(&new).await;
        assert!(error.report().contains("unknown directive \"no_such_directive\""), "{}", error.report());
        stage.proven(&old).await;
    }
    // Something beside the directory of the configuration.
    let beside = tempfile::NamedTempFile::new_in(folder.parent().unwrap()).unwrap();
    let path = beside.path().file_name().unwrap().to_str().unwrap();
    stage.write_foreign(&format!("include ../{path};"));
    fs::write(beside.path(), "no_such_directive on;").unwrap();
    let error = stage.refusal(&new).await;
    assert!(error.report().contains("unknown directive \"no_such_directive\""), "{}", error.report());
    fs::write(beside.path(), "").unwrap();
    stage.router.apply(&stage.context(), &new).await.unwrap();
    stage.proven(&new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_while_the_candidate_is_tested() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    // The test waits until somebody opens the other end.
    let pipe = stage.own.directory().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    stage.write_foreign(&format!("include {};", pipe.display()));
    let (router, context, new) =
        (stage.router.clone(), stage.context(), all_to("v2", &stage.members("v2", 1).await));
    let switch = tokio::spawn(async move { router.apply(&context, &new).await });
    let copy = stage.server().paths().directory().join("staging/web/tree");
    let deadline = Instant::now() + LIMIT;
    while !copy.exists() {
        assert!(Instant::now() < deadline, "nothing is tested");
        sleep(Duration::from_millis(2)).await;
    }
    let edited = format!("{}# mine\n", fs::read_to_string(stage.file()).unwrap());
    fs::write(stage.file(), &edited).unwrap();
    tokio::task::spawn_blocking(move || fs::File::options().write(true).open(pipe)).await.unwrap().unwrap();
    let error = switch.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{}", error.report());
    assert!(error.report().contains("edited by somebody else just now"), "{}", error.report());
    assert_eq!(fs::read_to_string(stage.file()).unwrap(), edited);
    stage.serves(&old).await;
}
