//! Whatever is written is read back as the same by another parser, and nginx takes it.

mod support;

use std::{net::SocketAddr, time::Duration};

use deployer_core::model::{
    InstanceId, Maintenance, Member, Route, RouteMatch, SetId, Share, Split, WorkloadId,
};
use deployer_nginx::{
    NginxSettings, OwnServer, OwnSettings, Stickiness, Weighting,
    config::{Closed, RouteConfig, Selection, Upstream, WorkloadConfig, WorkloadFile, build, render},
    syntax::{parse, read_workload},
};
use proptest::{collection::vec, prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use support::nginx;

fn names() -> impl Strategy<Value = String> {
    "[a-cA-C0-1][a-bA-B._-]{0,20}"
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    let four = (any::<[u8; 4]>(), 1u16..).prop_map(|(ip, port)| SocketAddr::from((ip, port)));
    let six = (any::<[u8; 16]>(), 1u16..).prop_map(|(ip, port)| SocketAddr::from((ip, port)));
    prop_oneof![four, six].prop_filter("nobody answers there", |address| !address.ip().is_unspecified())
}

/// Words with and without a meaning to nginx.
fn values() -> impl Strategy<Value = String> {
    let hostile = vec(
        prop::sample::select(vec![
            ";", "{", "}", "$", "\"", "'", "\\", "\n", "#", " ", "a", "b1", "~^", "*", "%", "=", "ä", "\t",
            "|", ")", "include", "\\x41", "\u{0}", "${x}", "default",
        ]),
        0..6,
    );
    prop_oneof![
        hostile.prop_map(|parts| parts.concat()),
        "[a-z0-9=_.|()*+^ -]{1,12}".boxed(),
        any::<String>()
    ]
}

fn splits() -> impl Strategy<Value = Split> {
    let shares =
        vec((names(), prop_oneof![Just(0u32), 1u32..1000, any::<u32>()], vec(addresses(), 0..4)), 0..4);
    let routes = vec(
        (any::<bool>(), prop_oneof!["[A-Za-z-]{1,8}".boxed(), values().boxed()], values(), 0usize..4),
        0..4,
    );
    let serve = (shares, routes).prop_map(|(shares, routes)| {
        let sets: Vec<SetId> = shares.iter().map(|(set, _, _)| SetId::new(set).expect("a name")).collect();
        let share = |(number, (_, weight, addresses)): (usize, (String, u32, Vec<SocketAddr>))| {
            let member = |(position, address)| Member {
                instance: InstanceId::new(format!("i{number}-{position}")).expect("a name"),
                address: Some(address),
            };
            let members = addresses.into_iter().enumerate().map(member).collect();
            Share { set: sets[number].clone(), weight, members }
        };
        let shares: Vec<Share> = shares.into_iter().enumerate().map(share).collect();
        let route = |(is_header, name, value, set): (bool, String, String, usize)| {
            let matches = if is_header {
                RouteMatch::Header { name, value }
            } else {
                RouteMatch::Cookie { name, value }
            };
            Some(Route { matches, set: sets.get(set)?.clone() })
        };
        let routes = routes.into_iter().filter_map(route).collect();
        Split::Serve { shares, routes }
    });
    let maintenance = (any::<u32>(), values()).prop_map(|(retry_after_seconds, message)| {
        Split::Maintenance(Maintenance { retry_after_seconds, message })
    });
    prop_oneof![9 => serve, 1 => maintenance]
}

fn settings() -> impl Strategy<Value = NginxSettings> {
    let sticky = prop::option::of(("[a-zA-Z0-9_]{1,40}", 1u64..100_000_000));
    (any::<bool>(), sticky, 0u32..100, 1u64..100_000, 0u32..10, 0u64..1000).prop_map(
        |(exact, sticky, keepalive, idle, max_fails, fail_timeout)| NginxSettings {
            weighting: if exact { Weighting::Upstream } else { Weighting::SplitClients },
            stickiness: sticky
                .map(|(cookie, seconds)| Stickiness { cookie, max_age: Duration::from_secs(seconds) }),
            keepalive,
            member_idle: Duration::from_millis(idle),
            max_fails,
            fail_timeout: Duration::from_secs(fail_timeout),
            ..NginxSettings::default()
        },
    )
}

fn web(name: &str) -> WorkloadId {
    WorkloadId::new(name).expect("a name")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(
        name in names(), generation: u64, split in splits(), settings in settings(),
    ) {
        let workload = web(&name);
        let Ok(config) = build(&workload, generation, &split, &settings) else { return Ok(()) };
        let text = render(&config).expect("what was built is written faithfully");
        prop_assert_eq!(read_workload(&workload, &text), Some(config.clone()));
        let file = WorkloadFile { epoch: deployer_core::model::Epoch(generation), generation, split, content: text };
        let whole = file.text();
        // The head is comments only.
        prop_assert_eq!(read_workload(&workload, &whole), Some(config));
        prop_assert_eq!(WorkloadFile::parse(&whole), Ok(file));
    }

    #[test]
    fn what_nobody_checked_is_faithful_or_refused(text in values(), other in values(), value in values()) {
        let config = WorkloadConfig {
            workload: web("web"),
            generation: 1,
            upstreams: vec![Upstream { name: text.clone(), zone_kibibytes: 64, members: Vec::new(), keepalive: None }],
            selection: Selection::Upstream(text.clone()),
            routes: vec![RouteConfig {
                matches: RouteMatch::Header { name: other, value },
                upstream: text.clone(),
            }],
            stickiness: Some(Stickiness { cookie: text.clone(), ..Stickiness::default() }),
            closed: Some(Closed { retry_after_seconds: None, message: text }),
        };
        if let Ok(written) = render(&config) {
            prop_assert_eq!(read_workload(&config.workload, &written), Some(config));
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in prop_oneof![any::<String>(), values()]) {
        let _ = parse(&text);
        prop_assert_eq!(read_workload(&web("web"), &text), None);
    }

    #[test]
    fn each_set_gets_its_part(weights in vec((1u32..100, 1usize..5), 1..4)) {
        let share = |(number, (weight, count)): (usize, &(u32, usize))| Share {
            set: SetId::new(format!("s{number}")).expect("a name"),
            weight: *weight,
            members: (0..*count).map(|position| Member {
                instance: InstanceId::new(format!("i{number}-{position}")).expect("a name"),
                address: Some(([127, 0, 0, u8::try_from(number).expect("few") + 1], 1000).into()),
            }).collect(),
        };
        let shares: Vec<Share> = weights.iter().enumerate().map(share).collect();
        let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
        let split = Split::Serve { shares: shares.clone(), routes: Vec::new() };
        let exact = build(&web("web"), 1, &split, &NginxSettings::default()).expect("a plain split");
        let members = &exact.upstreams[0].members;
        let sum: u64 = members.iter().map(|member| member.weight).sum();
        for share in &shares {
            let ours = |address| share.members.iter().any(|member| member.address == Some(address));
            let part: u64 = members.iter().filter(|member| ours(member.address)).map(|member| member.weight).sum();
            prop_assert_eq!(part * total, u64::from(share.weight) * sum);
        }
        let settings = NginxSettings { weighting: Weighting::SplitClients, ..NginxSettings::default() };
        let split = build(&web("web"), 1, &split, &settings).expect("a plain split");
        if let Selection::Split { parts, .. } = &split.selection {
            for (part, share) in parts.iter().zip(&shares) {
                let wanted = u64::from(share.weight) * 10_000;
                prop_assert!((u64::from(part.hundredths) * total).abs_diff(wanted) <= total);
            }
        }
    }
}

/// What is accepted by this library is accepted by nginx.
#[tokio::test]
async fn nginx_takes_what_is_written() {
    nginx();
    let folder = tempfile::tempdir().unwrap();
    let own = OwnServer::start(OwnSettings::new(folder.path()), &[]).await.unwrap();
    let mut runner = TestRunner::deterministic();
    let cases = (names(), splits(), settings());
    let mut tested = 0;
    while tested < 60 {
        let (name, split, settings) = cases.new_tree(&mut runner).unwrap().current();
        // Nothing else of these matters to the files of a workload.
        let Ok(config) = build(&web(&name), 1, &split, &settings) else { continue };
        let text = render(&config).unwrap();
        std::fs::write(own.directory().join("http.d/candidate.conf"), &text).unwrap();
        let result = own.server().test().await;
        assert!(result.is_ok(), "{}\n{text}", result.unwrap_err().report());
        tested += 1;
    }
    // The shared memory of an upstream has to hold all its members.
    let member = |number: u16| Member {
        instance: InstanceId::new(format!("i{number}")).expect("a name"),
        address: Some((std::net::Ipv6Addr::LOCALHOST, number).into()),
    };
    let shares =
        vec![Share { set: SetId::new("v1").unwrap(), weight: 1, members: (1..=5000).map(member).collect() }];
    let config =
        build(&web("web"), 1, &Split::Serve { shares, routes: Vec::new() }, own.server().settings()).unwrap();
    std::fs::write(own.directory().join("http.d/candidate.conf"), render(&config).unwrap()).unwrap();
    own.server().test().await.unwrap();
    own.stop().await.unwrap();
}
