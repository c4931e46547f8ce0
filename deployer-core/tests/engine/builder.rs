//! What the builder refuses.

use std::time::Duration;

use deployer_core::{
    engine::{Deployment, ProbeSettings},
    error::DeployError,
    lock::MemoryLock,
    model::{AttachPoint, RolloutSettings},
    ports::{CallContext, Gate, GateAnswer, GateWindow},
    strategy::BlueGreen,
};

use crate::{describe, release, world::World};

#[derive(Debug)]
struct Never;

#[async_trait::async_trait]
impl Gate for Never {
    fn describe(&self) -> String {
        "never".into()
    }

    async fn evaluate(&self, _context: &CallContext, _window: &GateWindow) -> GateAnswer {
        unreachable!("no rollout runs here")
    }
}

fn problems(result: Result<Deployment, DeployError>) -> Vec<String> {
    match result {
        Err(DeployError::Refused(problems)) => problems.into_iter().map(|problem| problem.at).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_problems_come_at_once() {
    let settings = RolloutSettings {
        min_ready: Duration::from_secs(600),
        start_deadline: Duration::from_secs(60),
        ..RolloutSettings::default()
    };
    let found = problems(
        Deployment::builder("-rf")
            .replicas(0)
            .settings(settings)
            .probing(ProbeSettings { timeout: Duration::ZERO, ..ProbeSettings::default() })
            .gate(AttachPoint::Bake, "a b", Never)
            .gate(AttachPoint::Bake, "twice", Never)
            .gate(AttachPoint::Bake, "twice", Never)
            .build(),
    );
    let expected = [
        "workload",
        "gate",
        "release",
        "strategy",
        "target",
        "replicas",
        "gate twice",
        "settings.start_deadline",
        "settings.progress_deadline",
        "probing.timeout",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_the_strategy_needs_and_the_target_has_not_is_refused() {
    let world = World::new();
    let target: std::sync::Arc<dyn deployer_core::ports::Target> = std::sync::Arc::new(world.clone());
    let without_router = Deployment::builder("web")
        .release(release("v1"))
        .replicas(1)
        .strategy(BlueGreen::default())
        .target(target);
    assert!(!problems(without_router.build()).is_empty());
    assert!(describe(&world, &MemoryLock::new(), "v1").strategy(BlueGreen::default()).build().is_ok());
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    tokio::time::pause();
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").id("first").build().unwrap().run().await.unwrap();
    let error = describe(&world, &lock, "v2").id("first").build().unwrap().run().await.unwrap_err();
    assert!(matches!(&error, DeployError::Refused(problems) if problems[0].at == "id"), "{error}");
}
