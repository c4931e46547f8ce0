//! A client stays with its set also when the workload moves from one data plane to another.

use std::{net::SocketAddr, path::Path, sync::Arc};

use deployer::{
    local::{
        LocalHost, LocalSettings, OnShutdown,
        proxy::{ProxySettings, Stickiness},
    },
    model::{Epoch, Member, Proof, SetId, Share, Split, WorkloadId},
    nginx::{self, NginxSettings, OwnServer, OwnSettings, RouterKind},
    ports::{CallContext, TrafficRouter},
};
use deployer_testkit::{
    cases::say,
    conformance::{Ask, Backends},
};

use crate::processes::LIMIT;

const COOKIE: &str = "client";
const CLIENTS: u64 = 300;

pub(crate) fn a_client_has_the_same_set_behind_all_data_planes() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().canonicalize().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(same_set(&place));
}

async fn same_set(place: &Path) {
    let web = WorkloadId::new("web").unwrap();
    let host = LocalHost::start(LocalSettings::new(place.join("h"))).await.unwrap();
    let settings =
        ProxySettings { stickiness: Some(Stickiness::cookie(COOKIE).unwrap()), ..ProxySettings::default() };
    let embedded = host.router(web.clone(), ([127, 0, 0, 1], 0).into());
    let embedded = Arc::new((*embedded).clone().settings(settings));
    let address = embedded.bind(&context(&web)).await.unwrap();
    let mut planes: Vec<(String, Arc<dyn TrafficRouter>, SocketAddr)> =
        vec![("the embedded proxy".to_owned(), embedded, address)];
    let mut servers = Vec::new();
    for kind in [RouterKind::Reload, RouterKind::Live] {
        let stickiness = nginx::Stickiness { cookie: COOKIE.to_owned(), ..nginx::Stickiness::default() };
        let nginx =
            NginxSettings { router: Some(kind), stickiness: Some(stickiness), ..NginxSettings::default() };
        let folder = place.join(kind.to_string().replace(' ', "-"));
        let own = OwnServer::start(OwnSettings { nginx, ..OwnSettings::new(folder) }, &[]).await.unwrap();
        let address = own.add(&web, ([127, 0, 0, 1], 0).into()).await.unwrap();
        planes.push((format!("the {kind}"), own.server().router(web.clone()), address));
        servers.push(own);
    }
    let backends = Backends::new();
    let mut members = Vec::new();
    for set in ["v1", "v2", "v10"] {
        let set = SetId::new(set).unwrap();
        let of_set = backends.members(&set, 1).await;
        members.push((set, of_set));
    }
    for weights in [[90, 10, 0], [75, 20, 5]] {
        let split = split(&members, weights);
        for (_, router, _) in &planes {
            router.apply(&context(&web), &split).await.unwrap();
            until_proven(&**router, &web).await;
        }
        for client in 0..CLIENTS {
            let number = format!("{:016x}{:016x}", mixed(2 * client), mixed(2 * client + 1));
            let ask = Ask { headers: vec![("cookie".to_owned(), format!("{COOKIE}={number}"))] };
            let mut answers = Vec::new();
            for (name, _, address) in &planes {
                let answer = backends.ask(*address, &ask).await;
                assert_eq!(answer.status, 200, "{name}");
                answers.push(answer.by.unwrap());
            }
            assert!(answers.iter().all(|by| *by == answers[0]), "{number} by {weights:?}: {answers:?}");
        }
        say(&format!(
            "    {CLIENTS} clients by {weights:?}: the same set behind {} data planes",
            planes.len()
        ));
    }
    host.shutdown(OnShutdown::StopInstances, LIMIT).await.unwrap();
    for own in servers {
        own.stop().await.unwrap();
    }
}

/// Any numbers that look like those that are given out (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut z = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn split(members: &[(SetId, Vec<Member>)], weights: [u32; 3]) -> Split {
    let shares = members.iter().zip(weights);
    let share = |((set, members), weight): (&(SetId, Vec<Member>), u32)| Share {
        set: set.clone(),
        weight,
        members: members.clone(),
    };
    Split::Serve { shares: shares.map(share).collect(), routes: Vec::new() }
}

async fn until_proven(router: &dyn TrafficRouter, web: &WorkloadId) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !matches!(router.current(&context(web)).await.unwrap().proof, Proof::Proven { .. }) {
        assert!(tokio::time::Instant::now() < deadline, "{} is not proven", router.name());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn context(web: &WorkloadId) -> CallContext {
    CallContext {
        workload: web.clone(),
        deployment: "by-hand".parse().unwrap(),
        epoch: Epoch(1),
        deadline: LIMIT,
    }
}
