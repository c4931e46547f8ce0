//! The process of the deployer is gone, and another goes on.

use deployer::{
    engine::DeploymentBuilder,
    error::DeployError,
    model::{Percent, RolloutSettings},
    strategy::Cause,
};

use crate::support::{Frame, Scene, baking, everything, rolling, seconds};

/// What a whole run ends with: how many instances were ever made, and what serves.
fn end_state(scene: &Scene) -> (usize, u32, Vec<String>) {
    let made = scene.instances("v2");
    let newest = made.iter().filter_map(|id| id.as_str().rsplit('-').next()?.parse::<usize>().ok()).max();
    let rotation = scene.world.in_rotation(&scene.workload);
    (newest.unwrap(), scene.frame().all_existing(), rotation.iter().map(ToString::to_string).collect())
}

pub(crate) async fn killed_after_each_action_it_ends_the_same_and_repeats_nothing() {
    for strategy in everything() {
        let scene = Scene::serving(3).await;
        let before = scene.written();
        scene.run(scene.deployment_by("v2", &strategy)).await.succeeded();
        let undisturbed = end_state(&scene);
        let actions = scene.written() - before;
        assert!(actions >= 3, "{strategy:?}");
        for action in 1..actions {
            let scene = Scene::serving(3).await;
            let before = scene.written();
            let done = |_: &Frame| scene.written() >= before + action;
            scene.crash(scene.deployment_by("v2", &strategy), "so much is done", done).await;
            let ended = scene.run(scene.deployment_by("v2", &strategy)).await;
            assert_eq!(ended.succeeded().resumed, 1);
            assert_eq!(end_state(&scene), undisturbed, "{strategy:?} killed after {action} actions");
            scene.assert_live("v2");
        }
    }
}

pub(crate) async fn a_bake_time_goes_on_where_it_was() {
    let scene = Scene::serving(4).await;
    let switched = |frame: &Frame| frame.weight("v2") == 100;
    let film = scene.crash(scene.deployment("v2", baking(600)), "v2 bakes", switched).await;
    let began = film.first(switched).at;
    // The switch is proven, and the bake time begins.
    for _ in 0..3 {
        let ended = tokio::time::timeout(seconds(90), scene.run(scene.deployment("v2", baking(600)))).await;
        assert!(ended.is_err(), "it ended too early");
        scene.pass(seconds(40)).await;
    }
    let ended = scene.run(scene.deployment("v2", baking(600))).await;
    ended.succeeded();
    let lasted = ended.film.first(|frame| frame.size("v1") < 4).at.since(began);
    assert!(lasted >= seconds(600) && lasted < seconds(610), "{lasted:?}");
    scene.assert_live("v2");
}

/// How a process ends.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Told,
    Killed,
}

pub(crate) async fn told_to_end_or_killed_in_any_phase_the_lock_is_free_and_the_next_run_ends_it() {
    for strategy in everything() {
        for ending in [Ending::Told, Ending::Killed] {
            for tenths in [0, 8, 20, 40, 100] {
                let scene = Scene::serving(3).await;
                let deployment = scene.deployment_by("v2", &strategy).build().unwrap();
                let control = deployment.control();
                let moment = async {
                    scene.pass(std::time::Duration::from_millis(tenths * 100)).await;
                    if matches!(ending, Ending::Told) {
                        control.interrupt("told to end");
                        std::future::pending::<()>().await;
                    }
                };
                let ended = tokio::select! { ended = deployment.run() => Some(ended), () = moment => None };
                if let Some(Err(error)) = ended {
                    assert!(matches!(error, DeployError::Interrupted { .. }), "{error}");
                }
                drop(deployment);
                scene.assert_unlocked().await;
                scene.run(scene.deployment_by("v2", &strategy)).await.succeeded();
                scene.assert_live("v2");
            }
        }
    }
}

pub(crate) async fn another_process_goes_on_with_the_same_counts_and_a_deadline() {
    let settings = RolloutSettings {
        failure_ratio: Percent::new(25).unwrap(),
        progress_deadline: seconds(60),
        ..RolloutSettings::default()
    };
    let deployment = |scene: &Scene| -> DeploymentBuilder {
        scene.deployment("v2", rolling(1, 0)).settings(settings.clone())
    };
    let scene = Scene::serving(4).await;
    let run = deployment(&scene).build().unwrap();
    let one_fails = async {
        scene.until("the first comes up", |frame| frame.size("v2") == 1).await;
        scene.kill("v2", 1);
        scene.until("it is replaced", |frame| frame.available("v2") == 1).await;
    };
    tokio::select! { ended = run.run() => panic!("{ended:?}"), () = one_fails => {} }
    drop(run);
    // Nobody drives it for longer than the deadline: that is no lack of progress.
    scene.pass(seconds(600)).await;
    let ended = scene
        .run_with(deployment(&scene), async |person| {
            person.until("the next comes up", |frame| frame.size("v2") == 2).await;
            person.scene.kill("v2", 1);
        })
        .await;
    let is_it = matches!(ended.rolled_back(), Cause::InstancesFailed { failed: 2, replicas: 4, .. });
    assert!(is_it, "the failure before the crash counts: {:?}", ended.result);
    scene.assert_live("v1");
}
