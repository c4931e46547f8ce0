//! Whole rollouts by the production engine in the fake world, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{sync::Arc, time::Duration};

use deployer::{
    engine::Deployment,
    error::DeployError,
    gates::{ErrorRate, ErrorRateSettings},
    model::Percent,
    model::{AttachPoint, GateId, RolloutSettings, SetId},
    strategy::{Cause, Command, Outcome, Recreate, StepPause, Strategy},
};
use deployer_testkit::world::{Behaviour, WorldSettings};
use futures::future::join_all;

use support::{REPLICAS, Stand, blue_green, canary, rolling, strategies};

/// A strategy behind an `Arc`, as a strategy.
fn with(stand: &Stand, release: &str, strategy: &Arc<dyn Strategy>) -> Deployment {
    stand.deployment(release, rolling(1, 0)).strategy(strategy.clone()).build().unwrap()
}

fn in_words(actions: &[Vec<Command>]) -> Vec<String> {
    actions.iter().flatten().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn an_undisturbed_run_journals_what_the_preview_said() {
    for strategy in strategies() {
        let stand = Stand::serving().await;
        let deployment = with(&stand, "v2", &strategy);
        let preview = deployment.preview().await.unwrap();
        let said: Vec<_> = preview.actions().map(<[Command]>::to_vec).collect();
        deployment.run().await.unwrap();
        assert_eq!(in_words(&said), in_words(&stand.intents().await), "{strategy:?}");
        assert!(said.len() > 3, "{strategy:?}: {preview}");
        stand.assert_live("v2", REPLICAS);
    }
}

#[tokio::test(start_paused = true)]
async fn capacity_stays_within_the_budget_in_truth() {
    for strategy in strategies() {
        let stand = Stand::serving().await;
        let start = stand.now();
        let deployment = with(&stand, "v2", &strategy);
        deployment.run().await.unwrap();
        let budget = strategy.budget(REPLICAS, &WorldSettings::default().target);
        let extremes = stand.world.extremes(&stand.workload, start);
        assert!(extremes.min_available >= budget.min_available, "{strategy:?}: {extremes:?}");
        assert!(extremes.max_total <= budget.max_total, "{strategy:?}: {extremes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_never_gets_healthy_is_taken_back_by_every_strategy() {
    for strategy in strategies() {
        let stand = Stand::serving().await;
        stand.behave("v2", Behaviour { never_ready: true, ..Behaviour::default() });
        let error = with(&stand, "v2", &strategy).run().await.unwrap_err();
        let DeployError::RolledBack { cause: Cause::InstancesFailed { .. }, .. } = &error else {
            panic!("{strategy:?}: {error}")
        };
        stand.assert_live("v1", REPLICAS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_dies_in_the_bake_time_is_taken_back() {
    for strategy in [Arc::new(blue_green()) as Arc<dyn Strategy>, Arc::new(canary(StepPause::None))] {
        let stand = Stand::serving().await;
        stand.behave("v2", Behaviour { dies_after: Some(Duration::from_secs(15)), ..Behaviour::default() });
        let error = with(&stand, "v2", &strategy).run().await.unwrap_err();
        assert!(matches!(error, DeployError::RolledBack { .. }), "{strategy:?}: {error}");
        stand.assert_live("v1", REPLICAS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_answers_errors_is_taken_back_by_its_error_rate() {
    for (strategy, at) in [
        (Arc::new(rolling(1, 0)) as Arc<dyn Strategy>, AttachPoint::EachStep),
        (Arc::new(blue_green()), AttachPoint::Bake),
        (Arc::new(canary(StepPause::None)), AttachPoint::EachStep),
    ] {
        let stand = Stand::serving().await;
        stand.behave("v2", Behaviour { errors: Percent::new(50).unwrap(), ..Behaviour::default() });
        let gate = ErrorRate::new(stand.world.metrics(), ErrorRateSettings::default()).unwrap();
        let deployment = stand.deployment("v2", rolling(1, 0)).strategy(strategy.clone());
        let deployment = deployment.gate(at, GateId::new("errors").unwrap(), gate).build().unwrap();
        let error = deployment.run().await.unwrap_err();
        let is_it = matches!(error, DeployError::RolledBack { cause: Cause::GateFailed { .. }, .. });
        assert!(is_it, "{strategy:?}: {error}");
        stand.assert_live("v1", REPLICAS);
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_exist_is_refused_before_anything_is_touched() {
    let stand = Stand::serving().await;
    stand.behave("v2", Behaviour { missing: true, ..Behaviour::default() });
    let error = stand.deployment("v2", rolling(1, 0)).build().unwrap().run().await.unwrap_err();
    assert!(matches!(error, DeployError::Refused(_)), "{error}");
    assert!(!in_words(&stand.intents().await).iter().any(|command| command.contains("v1")));
    stand.assert_live("v1", REPLICAS);
}

#[tokio::test(start_paused = true)]
async fn what_an_abandoned_run_left_is_retired_by_the_next_release() {
    for strategy in strategies() {
        for seconds in [1, 2, 3, 5, 8] {
            let stand = Stand::serving().await;
            let abandoned = with(&stand, "v2", &strategy);
            // Dropping the future equals a crash.
            let _ = tokio::time::timeout(Duration::from_secs(seconds), abandoned.run()).await;
            let report = with(&stand, "v3", &strategy).run().await;
            report.unwrap_or_else(|error| panic!("{strategy:?} after {seconds} s: {error}"));
            stand.assert_live("v3", REPLICAS);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_time_is_resumed_to_the_same_end() {
    for strategy in strategies() {
        for tenths in 1..60 {
            let stand = Stand::serving().await;
            let crashed = with(&stand, "v2", &strategy);
            let _ = tokio::time::timeout(Duration::from_millis(tenths * 170), crashed.run()).await;
            drop(crashed);
            let again = with(&stand, "v2", &strategy).run().await;
            again.unwrap_or_else(|error| panic!("{strategy:?} after {tenths}: {error}"));
            stand.assert_live("v2", REPLICAS);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_at_any_time_ends_on_the_old_release_or_comes_too_late() {
    for strategy in strategies() {
        for tenths in [1u64, 5, 9, 14, 20, 30, 45, 70, 120] {
            let stand = Stand::serving().await;
            let deployment = with(&stand, "v2", &strategy);
            let control = deployment.control();
            let abort = async {
                tokio::time::sleep(Duration::from_millis(tenths * 150)).await;
                control.abort("a person said so");
            };
            let (result, ()) = tokio::join!(deployment.run(), abort);
            match result {
                Ok(_) => stand.assert_live("v2", REPLICAS),
                Err(DeployError::Aborted { superseded_by: None, .. }) => stand.assert_live("v1", REPLICAS),
                Err(error) => panic!("{strategy:?} aborted after {tenths}: {error}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_waits_for_a_person_and_a_pause_stops_the_clock() {
    let stand = Stand::serving().await;
    let deployment = stand.deployment("v2", canary(StepPause::UntilPromoted)).build().unwrap();
    let control = deployment.control();
    let person = async {
        // Longer than any progress deadline.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        control.promote();
        tokio::time::sleep(Duration::from_secs(60)).await;
        control.pause();
        tokio::time::sleep(Duration::from_secs(7200)).await;
        control.resume();
        tokio::time::sleep(Duration::from_secs(60)).await;
        control.promote();
    };
    let (result, ()) = tokio::join!(deployment.run(), person);
    let report = result.unwrap();
    let took = report.finished_at.since(report.started_at);
    assert!(took > Duration::from_secs(3600 + 60 + 7200 + 60), "{took:?}");
    stand.assert_live("v2", REPLICAS);
}

#[tokio::test(start_paused = true)]
async fn a_person_can_skip_all_steps_but_not_the_verification() {
    let stand = Stand::serving().await;
    let deployment = stand.deployment("v2", canary(StepPause::UntilPromoted)).build().unwrap();
    let control = deployment.control();
    let person = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        control.promote_fully();
    };
    let (result, ()) = tokio::join!(deployment.run(), person);
    result.unwrap();
    stand.assert_live("v2", REPLICAS);
}

#[tokio::test(start_paused = true)]
async fn replicas_can_change_in_the_middle() {
    for (wanted, strategy) in [2, 7].into_iter().flat_map(|n| strategies().into_iter().map(move |s| (n, s))) {
        for seconds in [1, 2, 4] {
            let stand = Stand::serving().await;
            let deployment = with(&stand, "v2", &strategy);
            let control = deployment.control();
            let scale = async {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                control.scale(wanted);
                stand.now()
            };
            let (result, asked) = tokio::join!(deployment.run(), scale);
            let report = result
                .unwrap_or_else(|error| panic!("{strategy:?} scaled to {wanted} after {seconds} s: {error}"));
            let too_late = report.finished_at < asked;
            stand.assert_live("v2", if too_late { REPLICAS } else { wanted });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_release_again_is_a_repair() {
    let stand = Stand::serving().await;
    let report = stand.deployment("v1", rolling(1, 0)).revision(2).build().unwrap().run().await.unwrap();
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    let touched: Vec<_> =
        in_words(&stand.intents().await).into_iter().filter(|c| !c.starts_with("prepare")).collect();
    assert!(touched.is_empty(), "the world agreed and yet: {touched:?}");
    let victim = stand.world.in_rotation(&stand.workload)[1].clone();
    stand.world.kill(&victim);
    stand.deployment("v1", rolling(1, 0)).revision(3).build().unwrap().run().await.unwrap();
    assert_eq!(stand.world.available(&stand.workload), REPLICAS);
    assert!(!stand.world.in_rotation(&stand.workload).contains(&victim));
}

#[tokio::test(start_paused = true)]
async fn a_known_release_within_the_rollback_window_skips_steps() {
    let stand = Stand::serving().await;
    let settings = RolloutSettings { rollback_window: 2, ..RolloutSettings::default() };
    stand.deployment("v2", rolling(1, 0)).build().unwrap().run().await.unwrap();
    let back = stand.deployment("v1", canary(StepPause::UntilPromoted)).settings(settings);
    let report = back.build().unwrap().run().await.unwrap();
    let took = report.finished_at.since(report.started_at);
    assert!(took < Duration::from_secs(30), "nobody promoted it and it took {took:?}");
    stand.assert_live("v1", REPLICAS);
}

#[tokio::test(start_paused = true)]
async fn the_first_release_has_nothing_to_go_back_to() {
    for strategy in strategies() {
        let stand = Stand::empty(WorldSettings::default());
        stand.behave("v1", Behaviour { never_ready: true, ..Behaviour::default() });
        let error = with(&stand, "v1", &strategy).run().await.unwrap_err();
        assert!(matches!(error, DeployError::RolledBack { .. }), "{strategy:?}: {error}");
        assert_eq!(stand.world.total(&stand.workload), 0, "{strategy:?}");
        assert!(stand.world.orphans(&stand.workload, &[]).is_empty(), "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_old_set_does_not_keep_the_fix_from_shipping() {
    for strategy in strategies() {
        let stand = Stand::serving().await;
        let victims = stand.world.in_rotation(&stand.workload);
        victims[..2].iter().for_each(|victim| stand.world.kill(victim));
        let result = with(&stand, "v2", &strategy).run().await;
        result.unwrap_or_else(|error| panic!("{strategy:?}: {error}"));
        assert_eq!(stand.world.available(&stand.workload), REPLICAS);
        assert!(stand.world.orphans(&stand.workload, &[SetId::new("v2").unwrap()]).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn many_workloads_are_deployed_side_by_side() {
    let stands = join_all((0..50).map(|_| Stand::serving())).await;
    let deployments: Vec<_> =
        stands.iter().map(|s| s.deployment("v2", rolling(1, 0)).build().unwrap()).collect();
    for result in join_all(deployments.iter().map(Deployment::run)).await {
        result.unwrap();
    }
    for stand in &stands {
        stand.assert_live("v2", REPLICAS);
    }
}

#[tokio::test(start_paused = true)]
async fn recreate_interrupts_and_never_runs_two_versions() {
    let stand = Stand::serving().await;
    let start = stand.now();
    stand.deployment("v2", Recreate::default()).build().unwrap().run().await.unwrap();
    assert_eq!(stand.world.extremes(&stand.workload, start).min_available, 0);
    let intents = in_words(&stand.intents().await);
    let gone = intents.iter().position(|command| command == "remove set v1").unwrap();
    let up = intents.iter().position(|command| command.starts_with("set v2 to")).unwrap();
    assert!(gone < up, "{intents:?}");
}
