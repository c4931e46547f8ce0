//! An nginx, its router, and loads on it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use deployer_core::{
    model::{Epoch, InFlight, Proof, Split, WorkloadId},
    ports::{CallContext, TrafficRouter},
};
use deployer_nginx::{NginxSettings, OwnServer, OwnSettings, RouterKind};
use deployer_testkit::{
    cases::say,
    load::{Load, LoadBuilder, LoadHandle, LoadResult, Mix},
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    instances::Set,
    support::{LIMIT, nginx, workload},
};

/// How many switches, and in which time all of them.
pub(crate) const SWITCHES: u32 = 20;
const PERIOD: Duration = Duration::from_millis(600);
/// How long a machine that is busy with other things may stand still.
const PATIENCE: Duration = Duration::from_secs(5);

/// An nginx and its router.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) own: OwnServer,
    pub(crate) router: Arc<dyn TrafficRouter>,
    pub(crate) address: SocketAddr,
    workload: WorkloadId,
    _folder: tempfile::TempDir,
}

/// Runs a case to its end.
pub(crate) fn with(case: impl AsyncFnOnce()) {
    nginx();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { case().await });
}

impl Stand {
    pub(crate) async fn start(kind: RouterKind) -> Self {
        Self::with(NginxSettings { router: Some(kind), ..NginxSettings::default() }).await
    }

    pub(crate) async fn with(settings: NginxSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = OwnSettings { nginx: settings, ..OwnSettings::new(folder.path()) };
        let own = OwnServer::start(settings, &[]).await.unwrap();
        let workload = workload("web");
        let address = own.add(&workload, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let router = own.server().router(workload.clone());
        Self { own, router, address, workload, _folder: folder }
    }

    pub(crate) fn context(&self) -> CallContext {
        CallContext {
            workload: self.workload.clone(),
            deployment: "by-hand".parse().unwrap(),
            epoch: Epoch(1),
            deadline: LIMIT,
        }
    }

    /// Applies a split and waits for the proof.
    pub(crate) async fn switch(&self, split: &Split) {
        self.router.apply(&self.context(), split).await.unwrap();
        let deadline = Instant::now() + LIMIT;
        loop {
            let view = self.router.current(&self.context()).await.unwrap();
            assert_eq!(view.split, *split);
            if matches!(view.proof, Proof::Proven { .. }) {
                return;
            }
            assert!(Instant::now() < deadline, "not proven: {view:?}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until a set that has left has nothing to answer any more.
    pub(crate) async fn drain(&self, set: &Set) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let counts = self.router.in_flight(&self.context(), &set.members()).await.unwrap();
            if counts.iter().all(|count| *count == InFlight::Known(0)) {
                return;
            }
            assert!(Instant::now() < deadline, "not drained: {counts:?}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Twenty releases in twelve seconds, each put live as it should be: started, switched to, proven; the one before
    /// drained, and then ended.
    pub(crate) async fn release_often(&self, mut live: Set) -> Set {
        let start = Instant::now();
        for number in 1..=SWITCHES {
            let next = Set::start(&format!("r{number}"), 2).await;
            self.switch(&next.split()).await;
            let old = std::mem::replace(&mut live, next);
            self.drain(&old).await;
            old.end();
            sleep_until(start + PERIOD * number).await;
        }
        live
    }

    /// The first release, without load: there is nothing to lose yet.
    pub(crate) async fn first(&self) -> Set {
        let first = Set::start("r0", 2).await;
        self.switch(&first.split()).await;
        first
    }

    /// A load that waits out a machine which is busy with other things: that is no loss.
    pub(crate) fn load(&self, rate: u32, mix: Mix) -> LoadBuilder {
        Load::builder(self.address)
            .rate(rate)
            .connections(32)
            .mix(mix)
            .maximum_duration(Duration::from_secs(120))
            .timeout(2 * PATIENCE)
            .send_within(PATIENCE)
    }
}

/// A pause of the length of a switch, for what does not switch.
pub(crate) fn period(number: u32) -> Duration {
    PERIOD * number
}

/// Waits until so many more requests have ended, well or badly.
pub(crate) async fn ended(load: &LoadHandle, more: u64) {
    let so_far = || {
        let result = load.snapshot();
        result.succeeded + result.failed
    };
    let (wanted, deadline) = (so_far() + more, Instant::now() + LIMIT);
    while so_far() < wanted {
        assert!(Instant::now() < deadline, "no requests:\n{}", load.snapshot());
        sleep(Duration::from_millis(2)).await;
    }
}

/// Ends a load and says what it found out.
pub(crate) async fn finish(what: &str, load: LoadHandle) -> LoadResult {
    ended(&load, 50).await;
    let result = load.stop().await;
    say(&format!(
        "    {what}: failed {} of {}, retried {}, kept connections closed while idle {}, longest gap {} ms",
        result.failed,
        result.requests,
        result.retried,
        result.reopened,
        result.longest_gap.as_millis()
    ));
    result
}
