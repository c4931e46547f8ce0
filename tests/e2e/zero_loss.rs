//! Not one request is lost, and the measure for it is not blind.

use std::time::{Duration, Instant};

use deployer::{
    local::ProcessSpec,
    model::{
        InstancePhase, Member, PinnedRelease, Proof, ReleaseId, SetId, SetSpec, SetView, Share, Split,
        WorkloadId,
    },
    ports::{CallContext, Journal as _, Target as _, TrafficRouter as _},
};
use deployer_testkit::cases::say;

use crate::{
    processes::LIMIT,
    recipes::{Kind, app},
    stand::{REPLICAS, Stand, WEB, answered, any_port, context, ended, load, process},
};

const RATE: u32 = 300;

pub(crate) async fn rolling_with_surge_loses_nothing(stand: &Stand) {
    loses_nothing(stand, Kind::Rolling).await;
}

pub(crate) async fn rolling_without_surge_loses_nothing(stand: &Stand) {
    loses_nothing(stand, Kind::RollingWithoutSurge).await;
}

pub(crate) async fn blue_green_loses_nothing(stand: &Stand) {
    loses_nothing(stand, Kind::BlueGreen).await;
}

pub(crate) async fn canary_loses_nothing(stand: &Stand) {
    loses_nothing(stand, Kind::Canary).await;
}

async fn loses_nothing(stand: &Stand, kind: Kind) {
    let address = stand.serve_v1(WEB).await;
    let load = load(address, RATE).await;
    let before = stand.retried(WEB).await;
    let report = stand.deploy("v2", kind).await.unwrap();
    let retried = stand.retried(WEB).await - before;
    let result = ended(kind.name(), load, retried).await;
    result.assert_lossless();
    assert!(result.by_version["v1"].total > 0 && result.by_version["v2"].total > 0, "{result}");
    assert_eq!(report.rollouts[0].live.len(), 1, "{report}");
    assert_eq!(
        (report.rollouts[0].live[0].running, report.rollouts[0].live[0].in_rotation),
        (REPLICAS, REPLICAS),
        "{report}"
    );
    stand.assert_live(WEB, "v2");
}

/// The same load, and the old instances are stopped first and the traffic is switched afterwards.
pub(crate) async fn a_control_run_without_drain_and_proof_loses_requests(stand: &Stand) {
    let address = stand.serve_v1(WEB).await;
    let workload = WorkloadId::new(WEB).unwrap();
    let epoch = stand.journal.last_epoch(&workload).await.unwrap().next();
    let naive = Naive { stand, context: context(WEB, epoch) };
    let load = load(address, RATE).await;
    let v2 = naive.start(process(&app("v2"))).await;
    naive.stop("v1").await;
    // Only now does anybody tell the router.
    answered_or_failed(&load, 20).await;
    naive.switch_to(v2).await;
    answered(&load, 50).await;
    let retried = stand.retried(WEB).await;
    let result = ended("control run, which has to lose requests", load, retried).await;
    assert!(result.failed > 0 && result.is_valid(), "the measure is blind\n{result}");
    for (kind, count) in &result.failed_by_kind {
        say(&format!("      {kind}: {count}"));
    }
}

async fn answered_or_failed(load: &deployer_testkit::load::LoadHandle, more: u64) {
    let so_far = || {
        let result = load.snapshot();
        result.succeeded + result.failed
    };
    let (wanted, deadline) = (so_far() + more, Instant::now() + LIMIT);
    while so_far() < wanted {
        assert!(Instant::now() < deadline, "no requests:\n{}", load.snapshot());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How one would do it by hand.
struct Naive<'a> {
    stand: &'a Stand,
    context: CallContext,
}

impl Naive<'_> {
    async fn start(&self, process: ProcessSpec) -> SetView {
        let target = self.stand.host.target_for(&process);
        let release = process.release(ReleaseId::new("v2").unwrap());
        let artifact = target.prepare(&self.context, &release).await.unwrap();
        let set = SetId::from(&release.id);
        let spec = SetSpec { set: set.clone(), replicas: REPLICAS, remove_first: Vec::new() };
        target.apply(&self.context, &PinnedRelease { release, artifact }, &spec).await.unwrap();
        let listen = |set: &SetView| {
            set.instances.iter().all(|instance| {
                matches!(instance.phase, InstancePhase::Running { .. })
                    && instance.address.is_some_and(|address| std::net::TcpStream::connect(address).is_ok())
            })
        };
        self.until("v2 listens", |sets| {
            sets.iter().find(|view| view.set == set).filter(|view| listen(view)).cloned()
        })
        .await
    }

    async fn stop(&self, set: &str) {
        let set = SetId::new(set).unwrap();
        self.stand.host.target().remove(&self.context, &set).await.unwrap();
        let is_gone = |sets: &[SetView]| {
            sets.iter().all(|view| view.set != set || view.instances.is_empty()).then_some(())
        };
        self.until("the old set is gone", is_gone).await;
    }

    async fn switch_to(&self, view: SetView) {
        let members = view.instances.into_iter();
        let members =
            members.map(|instance| Member { instance: instance.id, address: instance.address }).collect();
        let shares = vec![Share { set: view.set, weight: 1, members }];
        let router = self.stand.host.router(self.context.workload.clone(), any_port());
        router.apply(&self.context, &Split::Serve { shares, routes: Vec::new() }).await.unwrap();
        let proof = router.current(&self.context).await.unwrap().proof;
        assert!(matches!(proof, Proof::Proven { .. }), "{proof:?}");
    }

    async fn until<T>(&self, what: &str, found: impl Fn(&[SetView]) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            let view = self.stand.host.target().observe(&self.context).await.unwrap();
            if let Some(found) = found(&view.sets) {
                return found;
            }
            assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}: {view:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
