//! The same release again.

use deployer::model::RolloutSettings;

use crate::support::{Scene, baking, everything, rolling, seconds};

pub(crate) async fn the_same_release_again_leaves_instances_and_routes_alone() {
    for strategy in everything() {
        let scene = Scene::serving(4).await;
        let (before, split) = (scene.instances("v1"), scene.frame().split);
        let ended = scene.run(scene.deployment_by("v1", &strategy).revision(1)).await;
        ended.succeeded();
        assert!(ended.touches().is_empty(), "{strategy:?}: {:?}", ended.touches());
        assert_eq!((scene.instances("v1"), scene.frame().split), (before, split));
        ended.film.always("without a gap", |frame| frame.available("v1") == 4);
        scene.assert_live("v1");
    }
}

pub(crate) async fn other_settings_replace_no_instance() {
    let scene = Scene::serving(4).await;
    let before = scene.instances("v1");
    let settings =
        RolloutSettings { drain: seconds(99), min_ready: seconds(3), ..RolloutSettings::default() };
    for deployment in [
        scene.deployment("v1", rolling(3, 1)).settings(settings),
        scene.deployment("v1", baking(5)).revision(7),
    ] {
        let ended = scene.run(deployment).await;
        ended.succeeded();
        assert!(ended.touches().is_empty(), "{:?}", ended.touches());
    }
    assert_eq!(scene.instances("v1"), before);
    scene.assert_live("v1");
}
