//! A cap on deployments that run at once.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deployer_core::{
    engine::Limit, error::DeployError, event::EventKind, lock::MemoryLock, model::WorkloadId,
    ports::Lock as _,
};
use futures::{FutureExt as _, StreamExt as _};

use crate::{describe, world::World};

#[tokio::test(start_paused = true)]
async fn never_more_than_three_at_once_and_first_come_first_served() {
    let limit = Limit::new(3);
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let order = Mutex::new(Vec::new());
    let runs = (0..20).map(|number| {
        let (limit, now, most, order) = (limit.clone(), &now, &most, &order);
        async move {
            let (world, lock) = (World::new(), MemoryLock::new());
            let deployment = describe(&world, &lock, "v1").limit(&limit).build().unwrap();
            let mut events = deployment.events();
            let run = async { deployment.run().await.unwrap() };
            let watch = async {
                while let Some(event) = events.next().await {
                    match event.kind {
                        EventKind::DeploymentStarted { .. } => {
                            order.lock().unwrap().push(number);
                            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        }
                        EventKind::DeploymentFinished { .. } => {
                            now.fetch_sub(1, Ordering::SeqCst);
                        }
                        _ => {}
                    }
                }
            };
            tokio::join!(run, watch);
        }
    });
    futures::future::join_all(runs).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!((limit.free(), limit.most(), Limit::new(0).most()), (3, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn who_waits_holds_nothing_says_so_and_listens() {
    let limit = Limit::new(1);
    let (busy, world, lock) = (World::new(), World::new(), MemoryLock::new());
    let running = describe(&busy, &MemoryLock::new(), "v1").limit(&limit).build().unwrap();
    let waits = describe(&world, &lock, "v1").limit(&limit).build().unwrap();
    let (first, ()) = tokio::join!(running.run(), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut events = waits.events();
        let control = waits.control();
        let (result, ()) = tokio::join!(waits.run(), async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let event = events.next().now_or_never().flatten().unwrap();
            let EventKind::Note { message } = event.kind else { panic!("{event:?}") };
            assert_eq!(message, "waits for its turn: at most 1 deployments run at once");
            assert_eq!(lock.holder(&WorkloadId::new("web").unwrap()).await.unwrap(), None);
            assert_eq!(world.calls("observe"), 0);
            control.pause();
            tokio::time::sleep(Duration::from_millis(10)).await;
            control.interrupt("SIGTERM");
        });
        let error = result.unwrap_err();
        assert!(matches!(&error, DeployError::Interrupted { why } if why == "SIGTERM"), "{error}");
        let (result, ()) = tokio::join!(waits.run(), async { control.abort("not today") });
        let error = result.unwrap_err();
        assert!(matches!(&error, DeployError::Aborted { .. }), "{error}");
        assert!(error.to_string().contains("it was waiting for its turn and did nothing"), "{error}");
    });
    first.unwrap();
    assert_eq!(world.calls("observe"), 0);
    waits.run().await.unwrap();
    assert_eq!(world.live()[0].3, 2, "the abort was of the run before");
}
