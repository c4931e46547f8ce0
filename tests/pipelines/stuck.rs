//! Points of no return, and undos that fail.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use deployer::{
    engine::Deployment,
    error::DeployError,
    event::Resolution,
    pipeline::{Stage, StageError},
};

use crate::shop::Shop;

/// `before`, a point of no return, and a rollout of `web` to v2.
fn past_pivot(shop: &Shop) -> Deployment {
    shop.pipeline()
        .stage(shop.undoable("before"))
        .stage(shop.stage("contract").pivot().repeatable())
        .rollout("web", shop.rollout("web", "v2"))
        .stage(shop.undoable("after"))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn past_the_point_of_no_return_a_rollout_restores_its_own_set_and_nothing_else() {
    let shop = Shop::serving().await;
    shop.break_release("v2");
    let error = past_pivot(&shop).run().await.unwrap_err();
    let DeployError::Stuck { why, left } = &error else { panic!("{error}") };
    assert!(why.contains("stage contract is the point of no return"), "{why}");
    assert_eq!(left, &["stage before was done", "stage contract was done", "stage web failed"]);
    assert_eq!(shop.did(), ["before", "contract"], "nothing was undone");
    shop.assert_live("web", "v1");

    shop.mend_release("v2");
    past_pivot(&shop).resolve(Resolution::Retry).await.unwrap();
    assert_eq!(shop.did(), ["after"]);
    shop.assert_live("web", "v2");
}

#[tokio::test(start_paused = true)]
async fn a_point_of_no_return_that_fails_is_for_a_person() {
    let shop = Shop::serving().await;
    let (mended, seen) = (Arc::new(AtomicBool::new(false)), shop.log());
    let build = || {
        let (mended, seen) = (mended.clone(), seen.clone());
        let contract = Stage::new("contract", move |_| {
            let (works, seen) = (mended.load(Ordering::Relaxed), seen.clone());
            async move {
                seen.lock().unwrap().push("contract".to_owned());
                if works { Ok(()) } else { Err(StageError::new("lock timeout")) }
            }
        });
        shop.pipeline()
            .stage(shop.undoable("before"))
            .stage(contract.pivot().repeatable())
            .rollout("web", shop.rollout("web", "v2"))
            .build()
            .unwrap()
    };
    let error = build().run().await.unwrap_err();
    assert!(
        matches!(error, DeployError::Stuck { .. }) && error.to_string().contains("lock timeout"),
        "{error}"
    );
    assert_eq!(shop.did(), ["before", "contract"]);
    mended.store(true, Ordering::Relaxed);
    build().resolve(Resolution::Retry).await.unwrap();
    assert_eq!(shop.did(), ["contract"]);
    shop.assert_live("web", "v2");
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_keeps_failing_is_tried_and_then_for_a_person() {
    for (resolution, tries) in [(Resolution::Retry, 1), (Resolution::Skip, 0)] {
        let shop = Shop::serving().await;
        let (mended, seen) = (Arc::new(AtomicBool::new(false)), shop.log());
        let build = || {
            let (mended, seen) = (mended.clone(), seen.clone());
            let undo = move |_| {
                let (works, seen) = (mended.load(Ordering::Relaxed), seen.clone());
                async move {
                    seen.lock().unwrap().push("try".to_owned());
                    if works { Ok(()) } else { Err(StageError::new("disk full")) }
                }
            };
            shop.pipeline()
                .stage(shop.undoable("first"))
                .stage(shop.stage("second").undo(undo).repeatable())
                .stage(shop.failing("third"))
                .rollout("web", shop.rollout("web", "v2"))
                .build()
                .unwrap()
        };
        let error = build().run().await.unwrap_err();
        let DeployError::Stuck { why, left } = &error else { panic!("{error}") };
        assert!(why.contains("no such table") && why.contains("disk full"), "{why}");
        assert_eq!(left, &["stage first was done", "stage second could not be undone"]);
        let tried = ["first", "second", "third", "undo third", "try", "try", "try", "try", "try"];
        assert_eq!(shop.did(), tried);

        mended.store(true, Ordering::Relaxed);
        let error = build().resolve(resolution).await.unwrap_err();
        assert!(matches!(error, DeployError::RolledBack { .. }), "{error}");
        let mut rest = vec!["try"; tries];
        rest.push("undo first");
        assert_eq!(shop.did(), rest);
    }
}
