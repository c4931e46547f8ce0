//! All checks of a router.

use super::{RouterRig, drains, levels, refusals, requests};
use crate::conformance::{
    ConformanceReport,
    check::{Check, Suite, ensure, ensure_eq},
    scope,
};

/// Whether a router keeps the contract of [`TrafficRouter`](deployer_core::ports::TrafficRouter): atomic splits, true
/// proofs, weights, routes, drains, fences. Each check has a workload of its own.
///
/// ```no_run
/// use std::{net::SocketAddr, sync::Arc};
/// use async_trait::async_trait;
/// use deployer_core::{model::{Member, SetId, WorkloadId}, ports::TrafficRouter};
/// use deployer_testkit::conformance::{self, Answer, Ask, Backends, RouterRig};
/// # async fn made_somehow(_: &WorkloadId) -> Arc<dyn TrafficRouter> { unimplemented!() }
/// # async fn listens_at(_: &WorkloadId) -> SocketAddr { unimplemented!() }
///
/// #[derive(Debug)]
/// struct Rig(Backends);
///
/// #[async_trait]
/// impl RouterRig for Rig {
///     async fn router(&self, workload: &WorkloadId) -> Arc<dyn TrafficRouter> {
///         made_somehow(workload).await
///     }
///
///     async fn members(&self, _workload: &WorkloadId, set: &SetId, count: usize) -> Vec<Member> {
///         self.0.members(set, count).await
///     }
///
///     async fn ask(&self, workload: &WorkloadId, ask: &Ask) -> Option<Answer> {
///         Some(self.0.ask(listens_at(workload).await, ask).await)
///     }
/// }
///
/// # async fn example() {
/// conformance::router(&Rig(Backends::new())).await.assert();
/// # }
/// ```
pub async fn router(rig: &dyn RouterRig) -> ConformanceReport {
    let router = rig.router(&scope::fresh_workload()).await;
    let limit = (rig.patience() + rig.settle()) * 6;
    let mut suite = Suite::new("TrafficRouter", router.name(), limit);
    let check = Check {
        name: "capabilities-are-constant",
        proves: "what it can do is constant for the life of the value, and it has a name",
        matters: "a strategy is checked against the capabilities once; one that vanishes later leaves a rollout that \
                  can go neither on nor back",
    };
    suite
        .run(check, async {
            ensure_eq("capabilities", &router.capabilities(), &router.capabilities())?;
            ensure(!router.name().trim().is_empty(), || "an empty name", "a name for messages")
        })
        .await;
    levels::run(&mut suite, rig).await;
    refusals::run(&mut suite, rig).await;
    requests::run(&mut suite, rig).await;
    drains::run(&mut suite, rig).await;
    suite.finish()
}
