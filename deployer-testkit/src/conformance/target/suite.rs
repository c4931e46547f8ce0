//! All checks of a target.

use super::{TargetRig, artifacts, endings, fences, interrupted, sizes, truth};
use crate::conformance::{
    ConformanceReport,
    check::{Suite, ensure, ensure_eq},
    scope,
};

/// Whether a target keeps the contract of [`Target`](deployer_core::ports::Target): sizes, ends, fences, dropped calls,
/// and observation against reality. Each check has a workload of its own.
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use deployer_core::{model::{Release, ReleaseId, WorkloadId}, ports::Target};
/// use deployer_testkit::conformance::{self, ReleaseKind, TargetRig};
/// # use deployer_testkit::{TestClock, world::{World, WorldSettings}};
///
/// #[derive(Debug)]
/// struct Rig(World);
///
/// #[async_trait]
/// impl TargetRig for Rig {
///     async fn target(&self, _workload: &WorkloadId) -> Arc<dyn Target> {
///         self.0.target()
///     }
///
///     fn release(&self, id: ReleaseId, kind: ReleaseKind) -> Option<Release> {
///         let artifact = match kind {
///             ReleaseKind::Good => "registry.example/web:1",
///             ReleaseKind::OtherGood => "registry.example/web:2",
///             _ => return None,
///         };
///         let (artifact, config) = (artifact.to_owned(), serde_json::Value::Null);
///         Some(Release { id, artifact, config, secrets: Vec::new() })
///     }
/// }
///
/// # // The fake world needs its virtual time here; a real test says `#[tokio::test]`.
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// # let world = World::new(WorldSettings::default(), Arc::new(TestClock::new()));
/// conformance::target(&Rig(world)).await.assert();
/// # });
/// ```
pub async fn target(rig: &dyn TargetRig) -> ConformanceReport {
    let target = rig.target(&scope::fresh_workload()).await;
    let limit = rig.patience() * 6 + target.capabilities().stop_grace * 4;
    let mut suite = Suite::new("Target", target.name(), limit);
    let check = crate::conformance::check::Check {
        name: "capabilities-are-constant",
        proves: "what it can do is constant for the life of the value, and it has a name",
        matters: "a strategy is checked against the capabilities once; one that vanishes later leaves a rollout that \
                  can go neither on nor back",
    };
    suite
        .run(check, async {
            ensure_eq("capabilities", &target.capabilities(), &target.capabilities())?;
            ensure(!target.name().trim().is_empty(), || "an empty name", "a name for messages")
        })
        .await;
    artifacts::run(&mut suite, rig).await;
    sizes::run(&mut suite, rig).await;
    endings::run(&mut suite, rig).await;
    fences::run(&mut suite, rig).await;
    interrupted::run(&mut suite, rig).await;
    truth::run(&mut suite, rig).await;
    suite.finish()
}
