//! A pipeline of one's own: a migration that is undone if anything after it fails, two workloads that go live together or
//! not at all, and a word to the others at the end.
//!
//! `cargo run --example custom_pipeline`, with `--json` for programs. It runs in a fake world and in virtual time.

use std::{sync::Arc, time::Duration};

use deployer::{
    engine::{Deployment, DeploymentBuilder},
    error::DeployError,
    journal::MemoryJournal,
    lock::MemoryLock,
    model::{ReleaseId, RolloutSettings},
    pipeline::{Pipeline, Stage},
    ports::Clock as _,
    strategy::{BlueGreen, Rolling},
};
use deployer_testkit::{
    TestClock,
    cases::say,
    example::Deployments,
    world::{Behaviour, World, WorldSettings},
};

struct Shop {
    world: World,
    clock: Arc<TestClock>,
    journal: Arc<MemoryJournal>,
    lock: Arc<MemoryLock>,
}

impl Shop {
    fn pipeline(&self, release: &'static str) -> Result<Deployment, Box<dyn std::error::Error>> {
        let migrate = Stage::new("migrate", move |_| async move {
            say(&format!("  the schema is made ready for {release}"));
            Ok(())
        });
        let announce = Stage::new("announce", move |context| async move {
            say(&format!("  {release} is live in {} workloads", context.workloads().len()));
            Ok(())
        });
        let undo = move |_| async move {
            say("  the schema is as it was");
            Ok(())
        };
        let pipeline = Pipeline::builder("shop")
            .stage(migrate.undo(undo).repeatable())
            .rollout("api", self.rollout("api", release)?.strategy(BlueGreen::default()))
            .rollout("web", self.rollout("web", release)?.strategy(Rolling::default()))
            .stage(announce.no_undo().repeatable());
        Ok(pipeline
            .journal(self.journal.clone())
            .lock(self.lock.clone())
            .clock(self.clock.clone())
            .build()?)
    }

    fn rollout(
        &self,
        workload: &str,
        release: &str,
    ) -> Result<DeploymentBuilder, Box<dyn std::error::Error>> {
        let release = World::release(ReleaseId::new(release)?).release;
        let settings =
            RolloutSettings { start_deadline: Duration::from_secs(30), ..RolloutSettings::default() };
        let rollout = Deployment::builder(workload).release(release).replicas(2).settings(settings);
        Ok(rollout.target(self.world.target()).router(self.world.router()).check(self.world.health()))
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(TestClock::new());
    let world = World::new(WorldSettings::default(), clock.clone());
    let shop = Shop { world, clock, journal: Arc::default(), lock: Arc::default() };

    let mut deployments = Deployments::new();
    for release in ["v1", "v2", "v3"] {
        if release == "v3" {
            let behaviour = Behaviour { never_ready: true, ..Behaviour::default() };
            shop.world.behave(ReleaseId::new(release)?, behaviour);
        }
        say(&format!("{release}:"));
        let (start, ended) = (shop.clock.now(), shop.pipeline(release)?.run().await);
        deployments.add("pipeline", release, shop.clock.now().since(start), &ended);
        let is_bad = matches!(ended, Err(DeployError::RolledBack { .. }));
        assert_eq!(is_bad, release == "v3", "only v3 is bad");
    }
    for workload in ["api", "web"] {
        let sets = shop.world.labels(&workload.try_into()?);
        let live: Vec<String> = sets.iter().map(|one| format!("{} of {}", one.instance, one.set)).collect();
        say(&format!("{workload}: {}", live.join(", ")));
    }
    deployments.finish();
    Ok(())
}
