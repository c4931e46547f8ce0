//! Values with a meaning to nginx are refused before a file is written.

use std::net::SocketAddr;

use deployer_core::{
    error::ErrorKind,
    model::{InstanceId, Maintenance, Member, Route, RouteMatch, SetId, Split, WorkloadId},
};
use deployer_nginx::{NginxSettings, Server, Stickiness};

use crate::support::{Stage, share, snapshot};

const HOSTILE: [&str; 9] =
    ["a;b", "a{b", "a}b", "a$b", "a\nb", "a\"b", "a\\b", "a\r\nX: y", "; } server { listen 1; root /etc; }"];

#[tokio::test]
async fn hostile_values_write_nothing() {
    let stage = Stage::start(NginxSettings::default()).await;
    let old = stage.serving("v1").await;
    let members = stage.members("v2", 1).await;
    let routed = |matches| {
        let route = Route { matches, set: SetId::new("v2").unwrap() };
        Split::Serve { shares: vec![share("v2", 1, &members)], routes: vec![route] }
    };
    let at = |address: &str| {
        let address: SocketAddr = address.parse().unwrap();
        let member = Member { instance: InstanceId::new("v2-1").unwrap(), address: Some(address) };
        Split::Serve { shares: vec![share("v2", 1, &[member])], routes: Vec::new() }
    };
    let mut splits = vec![at("0.0.0.0:80"), at("127.0.0.1:0"), at("[::]:80"), at("[fe80::1%3]:80")];
    for text in HOSTILE {
        let (good, bad) = (|| "lane".to_owned(), || text.to_owned());
        splits.push(routed(RouteMatch::Header { name: good(), value: bad() }));
        splits.push(routed(RouteMatch::Header { name: bad(), value: good() }));
        splits.push(routed(RouteMatch::Cookie { name: good(), value: bad() }));
        splits.push(routed(RouteMatch::Cookie { name: bad(), value: good() }));
        splits.push(Split::Maintenance(Maintenance { retry_after_seconds: 1, message: bad() }));
    }
    splits.push(routed(RouteMatch::Header { name: "lane".into(), value: "a'b".into() }));
    splits.push(routed(RouteMatch::Header { name: "lane".into(), value: String::new() }));
    splits.push(routed(RouteMatch::Header { name: String::new(), value: "a".into() }));
    let before = snapshot(stage.own.directory());
    for split in &splits {
        let error = stage.refusal(split).await;
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{split:?}: {}", error.report());
        assert!(error.report().contains("cannot express"), "{}", error.report());
    }
    let after: Vec<_> = snapshot(stage.own.directory());
    assert!(before == after, "files changed");
    stage.proven(&old).await;
}

#[tokio::test]
async fn hostile_names_and_paths_are_none() {
    for text in HOSTILE {
        assert!(
            WorkloadId::new(text).is_err() && SetId::new(text).is_err() && InstanceId::new(text).is_err()
        );
        let cookie = Stickiness { cookie: text.to_owned(), ..Stickiness::default() };
        for settings in [
            NginxSettings { directory: format!("/{text}").into(), ..NginxSettings::default() },
            NginxSettings { main_config: format!("/{text}").into(), ..NginxSettings::default() },
            NginxSettings { pid_file: format!("/{text}").into(), ..NginxSettings::default() },
            NginxSettings { prefix: Some(format!("/{text}").into()), ..NginxSettings::default() },
            NginxSettings { executable: format!("/{text}").into(), ..NginxSettings::default() },
            NginxSettings { stickiness: Some(cookie.clone()), ..NginxSettings::default() },
        ] {
            let error = Server::find(settings).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{text:?}: {}", error.report());
        }
    }
}
