//! Pipelines whose process dies anywhere.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use deployer::{
    engine::{Deployment, Report},
    error::DeployError,
    journal::MemoryJournal,
    pipeline::{Stage, StageError},
    ports::Journal,
    strategy::Outcome,
};
use deployer_testkit::inject::{After, AtCall, Before, Wrapped};

use crate::shop::Shop;

type Ended = Result<Report, DeployError>;

/// Runs until the call with this number to the journal, before or after it, and dies there. `None` if it died.
async fn run_until(deployment: Deployment, at: &Arc<AtCall>) -> Option<Ended> {
    let run = deployment.run();
    tokio::pin!(run);
    let looks = async {
        while at.reached().is_none() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        ended = &mut run => Some(ended),
        () = looks => None,
    }
}

fn frozen(shop: &Shop, number: u64, after: bool) -> (Arc<AtCall>, Arc<dyn Journal>) {
    let (before, after) = if after { (Before::Go, After::Hang) } else { (Before::Hang, After::Answer) };
    let at = Arc::new(AtCall::new(number, before, after));
    let journal: Arc<MemoryJournal> = shop.stand.journal.clone();
    (at.clone(), Arc::new(Wrapped::<dyn Journal>::new(journal, at)))
}

/// A pipeline of everything: `bad` lets its last stage fail.
fn all_kinds(shop: &Shop, bad: bool) -> deployer::pipeline::PipelineBuilder {
    let last = if bad { shop.failing("last") } else { shop.undoable("last") };
    let did = shop.log();
    let checked = shop.stage("checked").no_undo().done_if(move |_| {
        let done = did.lock().unwrap().iter().any(|did| did == "checked");
        async move { Ok(done.then_some("found")) }
    });
    shop.pipeline()
        .stage(shop.undoable("migrate"))
        .rollout("api", shop.rollout("api", "v2"))
        .stage(checked)
        .rollout("web", shop.rollout("web", "v2"))
        .stage(last)
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_record_it_ends_as_if_it_had_not_been() {
    for bad in [false, true] {
        for after in [false, true] {
            let mut number = 1;
            loop {
                let shop = Shop::serving().await;
                shop.did();
                let (at, journal) = frozen(&shop, number, after);
                let first = all_kinds(&shop, bad).journal(journal).build().unwrap();
                if run_until(first, &at).await.is_some() {
                    assert!(number > 40, "only {number} calls to the journal");
                    break;
                }
                let place = at.reached().unwrap();
                let ended = all_kinds(&shop, bad).build().unwrap().run().await;
                let release = match (bad, &ended) {
                    (false, Ok(report)) => {
                        assert_eq!(report.outcome, Some(Outcome::Succeeded), "{place}");
                        "v2"
                    }
                    (true, Err(DeployError::RolledBack { .. })) => "v1",
                    _ => panic!("{place}: {ended:?}"),
                };
                shop.assert_live("api", release);
                shop.assert_live("web", release);
                let did = shop.did();
                // Killed behind its last record it has ended, and the next run is a new deployment.
                let runs = 1 + usize::from(after && place.about == "deployment_finished");
                assert_eq!(did.iter().filter(|did| *did == "checked").count(), runs, "{place}: {did:?}");
                let undone = did.iter().filter(|did| did.starts_with("undo")).count();
                assert_eq!(undone > 0, bad, "{place}: {did:?}");
                number += 1;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_cannot_be_repeated_waits_for_a_person() {
    for (resolution, runs, ends_well) in [
        (deployer::event::Resolution::Retry, 2, true),
        (deployer::event::Resolution::Skip, 1, true),
        (deployer::event::Resolution::Abandon, 1, false),
    ] {
        let shop = Shop::serving().await;
        let count = Arc::new(AtomicU32::new(0));
        let charge = || {
            let count = count.clone();
            let charge = Stage::new("charge", move |_| {
                let first = count.fetch_add(1, Ordering::Relaxed) == 0;
                async move {
                    if first {
                        std::future::pending::<()>().await;
                    }
                    Ok(())
                }
            });
            let pipeline = shop.pipeline().stage(charge.no_undo().ask_after_crash());
            pipeline.rollout("web", shop.rollout("web", "v2")).build().unwrap()
        };
        let first = charge();
        let killed = tokio::time::timeout(Duration::from_secs(3), first.run()).await;
        assert!(killed.is_err());
        drop(first);
        let error = charge().run().await.unwrap_err();
        let DeployError::Stuck { why, left } = &error else { panic!("{error}") };
        assert!(why.contains("stage charge") && why.contains("retry, skip or abandon"), "{why}");
        assert_eq!(left, &["stage charge was begun"]);
        assert_eq!(count.load(Ordering::Relaxed), 1, "it was not done again by itself");
        shop.assert_live("web", "v1");

        let ended = charge().resolve(resolution).await;
        assert_eq!(ended.is_ok(), ends_well, "{ended:?}");
        assert_eq!(count.load(Ordering::Relaxed), runs, "{resolution:?}");
        shop.assert_live("web", if ends_well { "v2" } else { "v1" });
        let again = charge().resolve(resolution).await.unwrap_err();
        assert!(matches!(again, DeployError::Refused(_)), "{again}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_changed_is_not_resumed_but_superseded() {
    let shop = Shop::serving().await;
    let (at, journal) = frozen(&shop, 9, false);
    assert!(run_until(all_kinds(&shop, false).journal(journal).build().unwrap(), &at).await.is_none());
    let before = shop.events().await[0].deployment.clone();
    let other = all_kinds(&shop, false).revision(1).build().unwrap();
    let report = other.run().await.unwrap();
    assert_ne!(report.deployment, before);
    assert_eq!(report.resumed, 0);
    shop.assert_live("api", "v2");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_cannot_find_out_leaves_it_to_a_person() {
    let shop = Shop::serving().await;
    let build = || {
        let hangs = Stage::new("send", |_| async move {
            std::future::pending::<()>().await;
            Ok(())
        });
        let unknown = |_| async { Err::<Option<()>, _>(StageError::new("the mail server is down")) };
        let stage = hangs.no_undo().done_if(unknown);
        shop.pipeline().stage(stage).rollout("web", shop.rollout("web", "v2")).build().unwrap()
    };
    let first = build();
    assert!(tokio::time::timeout(Duration::from_secs(1), first.run()).await.is_err());
    let error = build().run().await.unwrap_err();
    assert!(error.to_string().contains("the mail server is down"), "{error}");
    assert!(matches!(error, DeployError::Stuck { .. }));
}
