//! What people ask of a pipeline between and inside of its stages.

use std::time::Duration;

use deployer::{
    engine::Deployment,
    error::DeployError,
    pipeline::{Stage, StageError},
};

use crate::shop::Shop;

/// A stage that takes ten seconds, between two others.
fn slow(shop: &Shop) -> Deployment {
    let did = shop.log();
    let slow = Stage::new("slow", move |context| {
        let did = did.clone();
        async move {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(10)) => did.lock().unwrap().push("slow".to_owned()),
                () = context.asked_to_stop() => return Err(StageError::new("stopped early")),
            }
            Ok(())
        }
    });
    shop.pipeline()
        .stage(shop.undoable("first"))
        .stage(slow.no_undo().repeatable())
        .rollout("web", shop.rollout("web", "v2"))
        .stage(shop.undoable("last"))
        .build()
        .unwrap()
}

async fn asked<T>(after: u64, deployment: &Deployment, ask: impl FnOnce(&Deployment) -> T) {
    tokio::time::sleep(Duration::from_secs(after)).await;
    ask(deployment);
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_the_stage_that_listens_and_undoes_what_ran() {
    let shop = Shop::serving().await;
    let deployment = slow(&shop);
    let start = shop.stand.now();
    let (ended, ()) =
        tokio::join!(deployment.run(), asked(3, &deployment, |it| it.control().abort("wrong day")));
    let error = ended.unwrap_err();
    assert!(matches!(&error, DeployError::Aborted { reason, .. } if reason == "wrong day"), "{error}");
    assert_eq!(shop.stand.now().since(start).as_secs(), 3);
    assert_eq!(shop.did(), ["first", "undo first"]);
    shop.assert_live("web", "v1");
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_it_before_the_next_stage_even_after_a_crash() {
    let shop = Shop::serving().await;
    let deployment = slow(&shop);
    let held = async {
        asked(3, &deployment, |it| it.control().pause()).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    };
    tokio::select! {
        ended = deployment.run() => panic!("it did not wait: {ended:?}"),
        () = held => {}
    }
    assert_eq!(shop.did(), ["first", "slow"]);
    let again = slow(&shop);
    tokio::select! {
        ended = again.run() => panic!("it did not wait: {ended:?}"),
        () = tokio::time::sleep(Duration::from_secs(60)) => {}
    }
    let third = slow(&shop);
    third.control().resume();
    let report = third.run().await.unwrap();
    assert_eq!(report.resumed, 2);
    assert_eq!(shop.did(), ["last"]);
    shop.assert_live("web", "v2");
}

#[tokio::test(start_paused = true)]
async fn an_interruption_stops_a_repeatable_stage_at_once_and_is_resumed() {
    let shop = Shop::serving().await;
    let deployment = slow(&shop);
    let start = shop.stand.now();
    let (ended, ()) =
        tokio::join!(deployment.run(), asked(3, &deployment, |it| it.control().interrupt("SIGTERM")));
    let error = ended.unwrap_err();
    assert!(matches!(&error, DeployError::Interrupted { why } if why == "SIGTERM"), "{error}");
    assert_eq!(shop.stand.now().since(start).as_secs(), 3);
    let report = slow(&shop).run().await.unwrap();
    assert_eq!(report.resumed, 1);
    assert_eq!(shop.did(), ["first", "slow", "last"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_takes_in_its_own_requests_and_each_is_taken_once() {
    let shop = Shop::serving().await;
    let deployment = shop.release("v2").build().unwrap();
    deployment.control().promote();
    deployment.control().scale(3);
    deployment.run().await.unwrap();
    // The first rollout took them in; the second does not see them again.
    let world = &shop.stand.world;
    let count = |workload: &str| world.available(&workload.try_into().unwrap());
    assert_eq!((count("api"), count("web")), (3, 2));
}
