//! Counts of answers from the access log of a real nginx.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    error::ErrorKind,
    model::{Member, SetId, Share, WorkloadId},
    ports::{Counts, MetricSource},
};
use deployer_nginx::{
    RouterKind,
    metrics::{AccessLogMetrics, LogReading},
};
use deployer_testkit::{
    cases::say,
    conformance::{self, Ask, MetricRig},
};
use rig::{Rig, context, set};
use support::until;

const ALWAYS: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_behind_reloads() {
    conforms(RouterKind::Reload).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_behind_the_live_router() {
    conforms(RouterKind::Live).await;
}

async fn conforms(kind: RouterKind) {
    let rig = Served::start(kind).await;
    let report = conformance::metrics(&rig).await;
    say(&report.to_string());
    report.assert();
}

/// A workload that has been sent a few requests.
#[derive(Debug)]
struct Served {
    rig: Rig,
    metrics: AccessLogMetrics,
}

impl Served {
    async fn start(kind: RouterKind) -> Self {
        let rig = Rig::start(kind).await;
        let members = rig.backends.members(&set("v1"), 2).await;
        rig.apply(vec![share("v1", 1, members)]).await;
        let served = Self { metrics: rig.metrics(), rig };
        assert!(served.send(5, 1).await);
        served
    }
}

#[async_trait]
impl MetricRig for Served {
    async fn source(&self) -> Arc<dyn MetricSource> {
        Arc::new(self.metrics.clone())
    }

    async fn served(&self) -> (WorkloadId, SetId) {
        (self.rig.workload.clone(), set("v1"))
    }

    async fn send(&self, good: u64, bad: u64) -> bool {
        for _ in 0..good {
            assert_eq!(self.rig.backends.ask(self.rig.address, &Ask::default()).await.status, 200);
        }
        for _ in 0..bad {
            assert_eq!(self.rig.backends.fail(self.rig.address).await.status, 500);
        }
        true
    }

    async fn unreachable(&self) -> Option<Arc<dyn MetricSource>> {
        let router = self.rig.router.clone();
        Some(Arc::new(AccessLogMetrics::new(self.rig.workload.clone(), "/nowhere/outcomes.log", router)))
    }
}

fn share(name: &str, weight: u32, members: Vec<Member>) -> Share {
    Share { set: set(name), weight, members }
}

async fn counts(metrics: &AccessLogMetrics, rig: &Rig, name: &str) -> Counts {
    metrics.counts(&context(&rig.workload), &set(name), ALWAYS).await.unwrap()
}

async fn until_counted(metrics: &AccessLogMetrics, rig: &Rig, name: &str, wanted: (u64, u64)) {
    until(&format!("{wanted:?} of {name}"), async || {
        let counts = counts(metrics, rig, name).await;
        assert!(counts.total <= wanted.0 && counts.bad <= wanted.1, "{counts:?}, not {wanted:?}");
        (counts.total, counts.bad) == wanted
    })
    .await;
}

/// nginx itself rotates: a new file after `USR1`, while requests go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_nginx_opens_its_log_anew() {
    let served = Served::start(RouterKind::Live).await;
    let (rig, metrics) = (&served.rig, &served.metrics);
    let log = rig.own.outcomes_log().unwrap();
    until_counted(metrics, rig, "v1", (6, 1)).await;
    for round in 1..=3_u64 {
        served.send(4, 1).await;
        fs::rename(&log, log.with_extension(round.to_string())).unwrap();
        served.send(3, 0).await;
        let master = rig.own.server().master().await.unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(master.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        until("the new log is there", async || log.exists()).await;
        served.send(2, 1).await;
        until_counted(metrics, rig, "v1", (6 + 11 * round, 1 + 2 * round)).await;
    }
    fs::OpenOptions::new().write(true).truncate(true).open(&log).unwrap();
    served.send(5, 5).await;
    until_counted(metrics, rig, "v1", (6 + 33 + 10, 1 + 6 + 5)).await;
    let reading = metrics.reading();
    assert_eq!(reading, LogReading { entries: 49, rubbish: 0, rotations: 3, cuts: 1 });
}

/// A member that refuses and one that answers: both were asked, and both count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_a_retry_made_up_for_is_counted() {
    let rig = Rig::start(RouterKind::Reload).await;
    let good = rig.backends.members(&set("v1"), 1).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // Bound and never listening: it refuses, and nobody else can get it.
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = Member { instance: "v2-1".parse().unwrap(), address: Some(socket.local_addr().unwrap()) };
    // One upstream with both sets, where nginx asks the next one.
    rig.apply(vec![share("v1", 1, good), share("v2", 1, vec![dead])]).await;
    let metrics = rig.metrics();
    for _ in 0..20 {
        assert_eq!(rig.backends.ask(rig.address, &Ask::default()).await.status, 200);
    }
    until("all are counted", async || counts(&metrics, &rig, "v1").await.total == 20).await;
    let (stable, candidate) = (counts(&metrics, &rig, "v1").await, counts(&metrics, &rig, "v2").await);
    assert_eq!(stable.bad, 0);
    assert!(candidate.total > 0 && candidate.bad == candidate.total, "{candidate:?}");
    drop(socket);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_used_again_counts_for_the_next_set() {
    let rig = Rig::start(RouterKind::Live).await;
    let metrics = rig.metrics();
    let member = rig.backends.members(&set("v1"), 1).await;
    rig.apply(vec![share("v1", 1, member.clone())]).await;
    assert_eq!(counts(&metrics, &rig, "v1").await.total, 0);
    for _ in 0..7 {
        rig.backends.ask(rig.address, &Ask::default()).await;
    }
    until_counted(&metrics, &rig, "v1", (7, 0)).await;
    let again = Member { instance: "v2-1".parse().unwrap(), ..member[0].clone() };
    rig.apply(vec![share("v2", 1, vec![again])]).await;
    assert_eq!(counts(&metrics, &rig, "v2").await.total, 0, "nothing of the former one");
    for _ in 0..3 {
        rig.backends.fail(rig.address).await;
    }
    until_counted(&metrics, &rig, "v2", (3, 3)).await;
    until_counted(&metrics, &rig, "v1", (7, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_another_form_is_an_error_and_not_zero() {
    let served = Served::start(RouterKind::Live).await;
    let rig = &served.rig;
    let path = rig.own.directory().join("other.log");
    fs::write(&path, "127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] \"GET / HTTP/1.1\" 200 2326\n").unwrap();
    let metrics = AccessLogMetrics::new(rig.workload.clone(), &path, rig.router.clone());
    let error = metrics.counts(&context(&rig.workload), &set("v1"), ALWAYS).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.message.contains("none of 1 lines"), "{error}");
    let stranger = WorkloadId::new("stranger").unwrap();
    let error = metrics.counts(&context(&stranger), &set("v1"), ALWAYS).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
}
