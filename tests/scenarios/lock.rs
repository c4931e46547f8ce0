//! One writer.

use deployer::{error::DeployError, ports::Lock as _};
use deployer_testkit::world::{Behaviour, CallOutcome};

use crate::support::{Frame, Person, Scene, baking, rolling};

pub(crate) async fn of_two_deployers_one_is_kept_out_and_the_replaced_one_is_fenced() {
    let scene = Scene::serving(4).await;
    let first = scene.deployment("v2", baking(3600)).build().unwrap();
    let first_run = async { (first.run().await, scene.now()) };
    let others = async {
        scene.until("v2 bakes", |frame| frame.weight("v2") == 100).await;
        let kept_out = scene.run(scene.deployment("v3", rolling(1, 0))).await;
        assert!(matches!(kept_out.result, Err(DeployError::Locked { .. })), "{:?}", kept_out.result);
        // The first one is taken for dead, and is not.
        scene.lock.declare_dead(&scene.workload);
        let epoch = scene.world.labels(&scene.workload).into_iter().map(|one| one.epoch).max().unwrap();
        let ended = scene.run(scene.deployment("v3", rolling(1, 0)).take_over()).await;
        ended.succeeded();
        (epoch, scene.now())
    };
    let ((result, first_ended), (old_epoch, taken)) = tokio::join!(first_run, others);
    assert!(matches!(result, Err(DeployError::Interrupted { .. })), "{result:?}");
    assert!(first_ended <= taken || scene.frame().available("v3") == 4);
    let newer = scene.writes().into_iter().find(|call| call.context.epoch > old_epoch).unwrap().at;
    let late = scene.writes().into_iter().filter(|call| call.context.epoch == old_epoch && call.at > newer);
    let refused = |outcome| matches!(outcome, CallOutcome::Failed { done: false, .. });
    assert!(late.into_iter().all(|call| refused(call.outcome)), "an old epoch had an effect");
    scene.assert_live("v3");
}

pub(crate) async fn a_held_lock_is_refused_at_once_and_by_name() {
    let scene = Scene::serving(4).await;
    let (writes, deployments) = (scene.written(), scene.deployments().await);
    let by = "somebody".try_into().unwrap();
    let held = scene.lock.acquire(std::slice::from_ref(&scene.workload), &by).await.unwrap();
    let holder = scene.lock.holder(&scene.workload).await.unwrap().unwrap();
    let ended = scene.run(scene.deployment("v2", rolling(1, 0))).await;
    let Err(error @ DeployError::Locked { .. }) = &ended.result else { panic!("{:?}", ended.result) };
    let text = error.to_string();
    assert!(text.contains(&holder.owner) && text.contains(&holder.since.to_string()), "{text}");
    assert!(ended.took.is_zero(), "it does not wait: {:?}", ended.took);
    assert_eq!((scene.written(), scene.deployments().await), (writes, deployments));
    // A lock of somebody who lives is not taken over either.
    let ended = scene.run(scene.deployment("v2", rolling(1, 0)).take_over()).await;
    assert!(matches!(ended.result, Err(DeployError::Locked { .. })), "{:?}", ended.result);
    drop(held);
    scene.run(scene.deployment("v2", rolling(1, 0))).await.succeeded();
    scene.assert_live("v2");
}

pub(crate) async fn however_it_ends_the_lock_is_given_back() {
    type Script = fn(&Scene);
    let nothing: Script = |_| {};
    let ill: Script = |scene| scene.behave("v2", Behaviour { never_ready: true, ..Behaviour::default() });
    let missing: Script = |scene| scene.behave("v2", Behaviour { missing: true, ..Behaviour::default() });
    for (name, script) in [("success", nothing), ("rolled back", ill), ("refused", missing)] {
        let scene = Scene::serving(4).await;
        script(&scene);
        let ended = scene.run(scene.deployment("v2", rolling(1, 0))).await;
        assert_eq!(ended.result.is_ok(), name == "success", "{name}");
        scene.assert_unlocked().await;
    }
    let actions: [fn(&Person<'_>); 3] = [
        |person| person.abort(),
        |person| person.control.interrupt("told to"),
        |person| person.control.supersede("another"),
    ];
    for action in actions {
        let scene = Scene::serving(4).await;
        let ended = scene
            .run_with(scene.deployment("v2", rolling(1, 0)), async |person| {
                person.until("half way", |frame: &Frame| frame.available("v2") == 2).await;
                action(person);
            })
            .await;
        assert!(ended.result.is_err());
        scene.assert_unlocked().await;
    }
}
