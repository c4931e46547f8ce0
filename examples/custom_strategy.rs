//! A strategy of one's own: a single scout instance of the new release gets its share of the requests for a while; then
//! the whole new set takes over at once. The rest (failures, the way back, requests of people, deadlines, resuming) is
//! the same for every strategy.
//!
//! `cargo run --example custom_strategy`, with `--json` for programs. It runs in a fake world and in virtual time.

use std::{sync::Arc, time::Duration};

use deployer::{
    engine::Deployment,
    error::{DeployError, Problem},
    journal::MemoryJournal,
    model::{AttachPoint, ReleaseId, RouterCapabilities, TargetCapabilities, WorkloadId},
    ports::Clock as _,
    strategy::{Budget, Decision, Phase, Situation, Strategy, WaitReason},
};
use deployer_testkit::{
    TestClock,
    cases::say,
    example::Deployments,
    world::{Behaviour, World, WorldSettings},
};

#[derive(Debug)]
struct Scout {
    watch: Duration,
}

impl Strategy for Scout {
    fn name(&self) -> &'static str {
        "scout"
    }

    fn check(&self, _: &TargetCapabilities, router: Option<&RouterCapabilities>) -> Result<(), Vec<Problem>> {
        let weighs = router.is_some_and(|router| router.weights);
        if weighs { Ok(()) } else { Err(vec![Problem::new("scout", "it needs a router that knows weights")]) }
    }

    fn budget(&self, replicas: u32, _: &TargetCapabilities) -> Budget {
        Budget { min_available: replicas, max_total: replicas * 2, keeps_old: true }
    }

    fn decide(&self, s: &Situation<'_>) -> Decision {
        let (new, n) = (&s.state.candidate, s.replicas());
        let Some(old) = s.state.stable.as_ref().filter(|_| s.state.step == 0) else {
            return match s.state.phase {
                Phase::Baking => s.bake_out(),
                Phase::Retiring => s.retire(),
                _ => s.provision(new, n).unwrap_or_else(|| s.take_all_traffic(Duration::ZERO)),
            };
        };
        s.clean()
            .or_else(|| s.provision(new, 1))
            .or_else(|| s.serve(&[(old, n), (new, 1)], &[], "the scout gets its share"))
            .or_else(|| s.proven())
            .or_else(|| (s.state.phase != Phase::Baking).then(|| s.bake(self.watch, "watch the scout")))
            .or_else(|| s.pass_gates(AttachPoint::EachStep, 0))
            .or_else(|| s.wait_for_bake(WaitReason::Baking))
            .unwrap_or_else(|| {
                s.progress("the scout is well", |state| (state.step, state.phase) = (1, Phase::Provisioning))
            })
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(TestClock::new());
    let world = World::new(WorldSettings::default(), clock.clone());
    let journal = Arc::new(MemoryJournal::new());
    let web = WorkloadId::new("web")?;
    world.behave(
        ReleaseId::new("v3")?,
        Behaviour { dies_after: Some(Duration::from_secs(20)), ..Behaviour::default() },
    );

    let mut deployments = Deployments::new();
    for release in ["v1", "v2", "v3"] {
        let deployment = Deployment::builder(web.clone())
            .release(World::release(ReleaseId::new(release)?).release)
            .replicas(3)
            .strategy(Scout { watch: Duration::from_secs(60) })
            .target(world.target())
            .router(world.router())
            .check(world.health())
            .journal(journal.clone())
            .clock(clock.clone())
            .build()?;
        say(&format!("{release}, as it would go:\n{}", deployment.preview().await?));
        let start = clock.now();
        let ended = deployment.run().await;
        deployments.add("scout", release, clock.now().since(start), &ended);
        if release == "v3" {
            assert!(matches!(ended, Err(DeployError::RolledBack { .. })), "a scout that dies is taken back");
        }
    }
    say(&format!("{} of 3 instances are available", world.available(&web)));
    deployments.finish();
    Ok(())
}
