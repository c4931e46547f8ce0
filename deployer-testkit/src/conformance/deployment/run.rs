//! One deployment of the suite, and what is there at its end.

use std::sync::Arc;

use deployer_core::{
    engine::Deployment,
    error::{DeployError, report},
    journal::MemoryJournal,
    lock::MemoryLock,
    model::{ReleaseId, Replicas, SetId, Split, WorkloadId},
    ports::{Target, TrafficRouter},
};
use tokio::time::timeout;

use super::{recipe::Kind, rig::DeploymentRig};
use crate::{
    conformance::{
        ReleaseKind,
        check::{Checked, failed, not_applicable, until, worked},
        scope,
    },
    inject::{Injector, Wrapped},
};

/// How a deployment of the suite ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Succeeded,
    /// Taken back, or refused before anything was touched.
    Back,
}

/// One workload with v1 live.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    rig: &'a dyn DeploymentRig,
    kind: Kind,
    workload: WorkloadId,
    target: Arc<dyn Target>,
    router: Option<Arc<dyn TrafficRouter>>,
    journal: Arc<MemoryJournal>,
    lock: Arc<MemoryLock>,
}

/// Runs something with a workload of its own in which v1 was put live, and cleans up behind it.
pub(super) async fn with_v1<T>(
    rig: &dyn DeploymentRig,
    kind: Kind,
    body: impl AsyncFnOnce(&Bench<'_>) -> Checked<T>,
) -> Checked<T> {
    let workload = scope::fresh_workload();
    let bench = Bench {
        rig,
        kind,
        target: rig.target(&workload).await,
        router: rig.router(&workload).await,
        workload: workload.clone(),
        journal: Arc::default(),
        lock: Arc::default(),
    };
    let result = async {
        let plain: Arc<dyn Injector> = Arc::new(crate::inject::Harmless);
        let ended = bench.deploy("v1", ReleaseKind::Good, &plain).await?;
        if ended != Ended::Succeeded {
            return Err(failed("the first release was taken back", "the first release goes live"));
        }
        bench.holds("v1").await?;
        body(&bench).await
    }
    .await;
    rig.clean_up(&workload).await;
    result
}

impl Bench<'_> {
    /// Deploys a release with an injector around target and router, and says how that ended.
    pub(super) async fn deploy(
        &self,
        name: &str,
        kind: ReleaseKind,
        injector: &Arc<dyn Injector>,
    ) -> Checked<Ended> {
        let Some(release) = self.rig.release(scope::release_id(name), kind) else {
            return Err(not_applicable(format!("the rig has no release of kind {kind:?}")));
        };
        let strategy = self.kind.strategy().map_err(|problems| not_applicable(problems.to_string()))?;
        let target = Wrapped::<dyn Target>::new(Arc::clone(&self.target), Arc::clone(injector));
        let mut builder = Deployment::builder(self.workload.clone())
            .release(release)
            .replicas(Replicas::Fixed(self.rig.replicas()))
            .strategy(strategy)
            .target(Arc::new(target) as Arc<dyn Target>)
            .journal(Arc::clone(&self.journal))
            .lock(Arc::clone(&self.lock))
            .clock(self.rig.clock());
        if let Some(router) = &self.router {
            let router = Wrapped::<dyn TrafficRouter>::new(Arc::clone(router), Arc::clone(injector));
            builder = builder.router(Arc::new(router) as Arc<dyn TrafficRouter>);
        }
        if let Some(check) = self.rig.check(&self.workload).await {
            builder = builder.check(check);
        }
        let deployment = worked("build", self.rig.adjust(builder).build())?;
        let limit = (self.rig.patience() + self.target.capabilities().stop_grace) * 6;
        match timeout(limit, Box::pin(deployment.run())).await {
            Err(_) => Err(failed(format!("no end of {name} within {limit:?}"), "every deployment ends")),
            Ok(Ok(_)) => Ok(Ended::Succeeded),
            Ok(Err(DeployError::RolledBack { .. } | DeployError::Refused(_))) => Ok(Ended::Back),
            Ok(Err(error)) => Err(failed(report(&error), "it goes live, or is taken back")),
        }
    }

    /// What has to be there after a deployment of v2 that ended so.
    pub(super) async fn holds_after(&self, ended: Ended) -> Checked {
        self.holds(if ended == Ended::Succeeded { "v2" } else { "v1" }).await
    }

    /// Goes on only if this release is live, alone and whole, in observation, in reality and in traffic.
    pub(super) async fn holds(&self, name: &str) -> Checked {
        let set = SetId::from(&ReleaseId::new(name).expect("the suite uses plain names"));
        let expected =
            format!("{} running instances of {set}, in rotation, and nothing else", self.rig.replicas());
        until(self.rig.patience(), &expected, async || {
            let context = scope::context(&self.workload, u64::MAX, self.rig.patience());
            let view = scope::works("observe", self.rig.patience(), self.target.observe(&context)).await?;
            let running: Vec<_> = view
                .sets
                .iter()
                .flat_map(|seen| &seen.instances)
                .filter(|one| matches!(one.phase, deployer_core::model::InstancePhase::Running { .. }))
                .map(|one| one.id.clone())
                .collect();
            let alone = view.sets.len() == 1 && view.sets[0].set == set;
            let whole = alone && view.sets[0].instances.len() == running.len();
            if !whole || running.len() != self.rig.replicas() as usize {
                return Ok(Err(format!("{:?}", view.sets)));
            }
            if let Some(real) = self.rig.reality(&self.workload).await {
                let same =
                    real.len() == running.len() && real.iter().all(|one| running.contains(&one.instance));
                if !same {
                    return Ok(Err(format!("observed {running:?}, there {real:?}")));
                }
            }
            let Some(router) = &self.router else { return Ok(Ok(())) };
            let traffic = scope::works("current", self.rig.patience(), router.current(&context)).await?;
            let mut members: Vec<_> = match &traffic.split {
                Split::Serve { shares, .. }
                    if shares.iter().any(|share| share.set == set && share.weight > 0) =>
                {
                    shares
                        .iter()
                        .flat_map(|share| &share.members)
                        .map(|member| member.instance.clone())
                        .collect()
                }
                other => return Ok(Err(format!("traffic: {other:?}"))),
            };
            members.sort();
            let mut wanted = running;
            wanted.sort();
            let right = members == wanted || !router.capabilities().members;
            Ok(if right { Ok(()) } else { Err(format!("in rotation {members:?}, running {wanted:?}")) })
        })
        .await
    }
}
