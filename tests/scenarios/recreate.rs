//! All old ones down, then the new ones up.

use deployer::strategy::Recreate;

use crate::support::{Frame, Scene};

fn one_version(frame: &Frame) -> bool {
    frame.existing("v1") == 0 || frame.existing("v2") == 0
}

pub(crate) async fn no_two_versions_ever_run() {
    let scene = Scene::serving(4).await;
    let ended = scene.run(scene.deployment("v2", Recreate::default())).await;
    ended.succeeded();
    ended.film.always("one version at a time", one_version);
    assert_eq!(ended.film.least(Frame::all_existing), 0);
    ended.film.always("a page is shown while nobody serves", |frame| {
        frame.all_available() > 0 || matches!(frame.split, deployer::model::Split::Maintenance(_))
    });
    scene.assert_live("v2");
}

pub(crate) async fn what_an_interrupted_one_left_is_used_or_removed() {
    for release in ["v2", "v3"] {
        for writes in 1..=4 {
            let scene = Scene::serving(4).await;
            let before = scene.written();
            let done = |_: &Frame| scene.written() >= before + writes;
            scene.crash(scene.deployment("v2", Recreate::default()), "so much is done", done).await;
            let ended = scene.run(scene.deployment(release, Recreate::default())).await;
            ended.succeeded();
            ended.film.always("one version at a time", one_version);
            scene.assert_live(release);
        }
    }
}
