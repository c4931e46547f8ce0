//! The engine against a little world in memory, in virtual time.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod builder;
mod crash;
mod limit;
mod operations;
mod past;
mod redaction;
mod removal;
mod requests;
mod rollout;
mod waiting;
mod world;

use deployer_core::{
    engine::{Deployment, DeploymentBuilder},
    event::Event,
    lock::MemoryLock,
    model::{Release, ReleaseId, WorkloadId},
    ports::{Journal as _, Target},
    strategy::Rolling,
};
use std::sync::Arc;

use world::World;

fn release(name: &str) -> Release {
    Release {
        id: ReleaseId::new(name).unwrap(),
        artifact: name.to_owned(),
        config: serde_json::Value::Null,
        secrets: Vec::new(),
    }
}

/// A rolling deployment of two instances in this world.
fn describe(world: &World, lock: &MemoryLock, name: &str) -> DeploymentBuilder {
    let target: Arc<dyn Target> = Arc::new(world.clone());
    Deployment::builder("web")
        .release(release(name))
        .replicas(2)
        .strategy(Rolling::default())
        .target(target)
        .router(world.clone())
        .check(world.clone())
        .journal(world.clone())
        .lock(lock.clone())
        .clock(world.clock.clone())
}

async fn journals(world: &World) -> Vec<Vec<Event>> {
    let mut all = Vec::new();
    for deployment in world.journal.list(&WorkloadId::new("web").unwrap()).await.unwrap() {
        all.push(world.journal.load(&deployment).await.unwrap());
    }
    all
}
