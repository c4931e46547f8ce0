//! In which order stages run and are undone.

use deployer::{
    error::DeployError,
    event::EventKind,
    pipeline::{Stage, StageError},
    strategy::{Cause, Outcome},
};

use crate::shop::Shop;

#[tokio::test(start_paused = true)]
async fn stages_run_in_order_and_give_to_later_ones() {
    let shop = Shop::serving().await;
    let did = shop.log();
    let reader = Stage::new("reader", move |context| {
        let did = did.clone();
        async move {
            let before: String = context.output("before")?;
            did.lock().unwrap().push(format!("reader got {before}"));
            assert!(context.output::<u32>("before").is_err(), "it is no number");
            assert!(context.output::<String>("nobody").is_err());
            Ok(())
        }
    });
    let deployment = shop
        .pipeline()
        .stage(shop.undoable("before"))
        .rollout("api", shop.rollout("api", "v2"))
        .stage(reader.no_undo().repeatable())
        .rollout("web", shop.rollout("web", "v2"));
    let report = deployment.build().unwrap().run().await.unwrap();
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    assert_eq!(shop.did(), ["before", "reader got before"]);
    shop.assert_live("api", "v2");
    shop.assert_live("web", "v2");
    assert_eq!(report.rollouts.len(), 2, "{report}");
    let shown = report.to_string();
    assert!(shown.starts_with("v2 of api and v2 of web: succeeded"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn what_ran_is_undone_in_reverse_order_the_failed_one_included() {
    let shop = Shop::serving().await;
    let deployment = shop
        .pipeline()
        .stage(shop.undoable("first"))
        .stage(shop.stage("second").no_undo().repeatable())
        .stage(shop.undoable("third"))
        .stage(shop.failing("fourth"))
        .rollout("web", shop.rollout("web", "v2"))
        .stage(shop.undoable("never"));
    let error = deployment.build().unwrap().run().await.unwrap_err();
    let DeployError::RolledBack { cause: Cause::StageFailed { stage, reason }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((stage.as_str(), reason.as_str()), ("fourth", "no such table"));
    assert_eq!(shop.did(), ["first", "second", "third", "fourth", "undo fourth", "undo third", "undo first"]);
    shop.assert_live("web", "v1");
}

#[tokio::test(start_paused = true)]
async fn several_workloads_go_live_together_or_not_at_all() {
    let shop = Shop::serving().await;
    let failing_web = |release| {
        shop.pipeline()
            .stage(shop.undoable("migrate"))
            .rollout("api", shop.rollout("api", release))
            .rollout("web", shop.rollout("web", "bad"))
    };
    shop.break_release("bad");
    let error = failing_web("v2").build().unwrap().run().await.unwrap_err();
    assert!(matches!(error, DeployError::RolledBack { cause: Cause::InstancesFailed { .. }, .. }), "{error}");
    assert_eq!(shop.did(), ["migrate", "undo migrate"]);
    shop.assert_live("api", "v1");
    shop.assert_live("web", "v1");
    let told = ["web failed", "api undo", "api undone", "migrate undo", "migrate undone"];
    assert_eq!(shop.story().await[5..], told);

    // What was taken back is not what the next deployment goes back to.
    shop.mend_release("bad");
    shop.release("v3").build().unwrap().run().await.unwrap();
    shop.break_release("v4");
    let error = shop.release("v4").build().unwrap().run().await.unwrap_err();
    assert!(matches!(error, DeployError::RolledBack { .. }), "{error}");
    shop.assert_live("api", "v3");
    shop.assert_live("web", "v3");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_stage() {
    let shop = Shop::serving().await;
    let panics = Stage::new("panics", |_| async move {
        assert!(std::hint::black_box(false), "out of luck");
        Ok::<_, StageError>(())
    });
    let deployment = shop
        .pipeline()
        .stage(shop.undoable("first"))
        .stage(panics.no_undo().repeatable())
        .rollout("web", shop.rollout("web", "v2"));
    let error = deployment.build().unwrap().run().await.unwrap_err();
    assert!(error.to_string().contains("stage panics failed: it panicked: out of luck"), "{error}");
    assert_eq!(shop.did(), ["first", "undo first"]);
    shop.assert_live("web", "v1");
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_hangs_fails_at_its_deadline() {
    let shop = Shop::serving().await;
    let hangs = Stage::new("hangs", |_| async move {
        std::future::pending::<()>().await;
        Ok(())
    });
    let hangs = hangs.no_undo().repeatable().deadline(std::time::Duration::from_secs(7));
    let start = shop.stand.now();
    let deployment = shop.pipeline().stage(hangs).rollout("web", shop.rollout("web", "v2"));
    let error = deployment.build().unwrap().run().await.unwrap_err();
    assert!(error.to_string().contains("it did not end within 7s"), "{error}");
    assert_eq!(shop.stand.now().since(start).as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_first_event_lists_all_stages_and_the_preview_shows_them() {
    let shop = Shop::serving().await;
    let deployment = shop
        .pipeline()
        .stage(shop.undoable("migrate"))
        .rollout("web", shop.rollout("web", "v2"))
        .rollout("api", shop.rollout("api", "v2"))
        .stage(shop.stage("announce").no_undo().repeatable())
        .build()
        .unwrap();
    let preview = deployment.preview().await.unwrap();
    let said: Vec<String> = preview.actions().flatten().map(ToString::to_string).collect();
    let shown = preview.to_string();
    for line in
        ["stage migrate: code of its own (undone if", "stage web: rolling rollout of web to v2 (rolled back"]
    {
        assert!(shown.contains(line), "{shown}");
    }
    deployment.run().await.unwrap();
    let events = shop.events().await;
    let EventKind::DeploymentStarted { stages, workloads, .. } = &events[0].kind else { panic!() };
    let names: Vec<_> = stages.iter().map(|stage| stage.id.as_str()).collect();
    assert_eq!(names, ["migrate", "web", "api", "announce"]);
    assert_eq!(workloads.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["api", "web"]);
    let done: Vec<String> = events
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Intent { commands, .. } => Some(commands),
            _ => None,
        })
        .flatten()
        .map(|command| command.to_string())
        .collect();
    assert_eq!(said, done, "the preview is what was done");
}

#[test]
fn all_problems_of_a_pipeline_come_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let shop = Shop::empty();
    let deployment = shop
        .pipeline()
        .stage(shop.stage("same").no_undo().repeatable())
        .stage(shop.stage("same").no_undo().repeatable())
        .stage(shop.stage("a b").no_undo().repeatable())
        .stage(shop.undoable("drop-column").destructive())
        .stage(Stage::of("hook", deployer::pipeline::Hook::new("../x")).no_undo().repeatable())
        .rollout("web", shop.rollout("web", "v2").revision(3))
        .rollout("again", shop.rollout("web", "v2").replicas(0));
    let DeployError::Refused(problems) = deployment.build().unwrap_err() else { panic!() };
    let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
    for part in [
        "invalid stage name \"a b\"",
        "stage hook: program",
        "stage web: revision: inside of a pipeline",
        "stage again: replicas: a rollout to zero",
        "stage same: two stages have this name",
        "stage drop-column: it destroys data, and no backup",
    ] {
        assert!(text.iter().any(|problem| problem.contains(part)), "{part}: {text:#?}");
    }
    let DeployError::Refused(problems) = shop.pipeline().build().unwrap_err() else { panic!() };
    assert!(problems[0].message.contains("no workload"), "{problems:?}");
}
