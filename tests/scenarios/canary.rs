//! Steps of a canary: shares, sizes, routes.

use deployer::{
    model::{Percent, RouteMatch},
    strategy::{Canary, CanarySettings, CanaryStep, StepPause},
};

use crate::support::{Scene, canary, canary_of, step};

pub(crate) async fn size_and_share_are_set_apart() {
    let scene = Scene::serving(4).await;
    let steps = [(10, Some(1)), (20, Some(1)), (30, Some(3)), (40, None)];
    let steps = steps.map(|(weight, instances)| step(weight, instances, StepPause::None));
    let ended = scene.run(scene.deployment("v2", canary_of(steps.to_vec()))).await;
    ended.succeeded();
    assert_eq!(ended.film.weights("v2"), [0, 10, 20, 30, 40, 100]);
    assert_eq!(ended.film.sizes("v2"), [0, 1, 3, 4]);
    let sizes = [10, 20, 30, 40].map(|weight| ended.film.first(|f| f.weight("v2") == weight).size("v2"));
    assert_eq!(sizes, [1, 1, 3, 3], "a share alone changes no size");
    ended.film.always("stable is whole while it serves", |f| f.weight("v1") == 0 || f.available("v1") == 4);
    scene.assert_live("v2");
}

pub(crate) async fn the_stable_share_falls_step_by_step() {
    let scene = Scene::serving(4).await;
    let steps = [1, 2, 10, 80].map(|weight| step(weight, None, StepPause::None));
    let ended = scene.run(scene.deployment("v2", canary_of(steps.to_vec()))).await;
    ended.succeeded();
    assert_eq!(ended.film.weights("v1"), [100, 99, 98, 90, 20, 0]);
    assert!(Percent::new(101).is_err(), "a share above all there is cannot even be written");
    scene.assert_live("v2");
}

fn for_testers() -> RouteMatch {
    RouteMatch::Header { name: "x-tester".into(), value: "yes".into() }
}

fn with_a_route(step: CanaryStep) -> Canary {
    Canary::new(CanarySettings {
        steps: vec![step],
        routes: vec![for_testers()],
        ..CanarySettings::default()
    })
    .unwrap()
}

pub(crate) async fn routes_are_gone_however_it_ends() {
    let routed = || with_a_route(step(25, None, StepPause::UntilPromoted));
    for ending in ["promoted", "aborted", "superseded"] {
        let scene = Scene::serving(4).await;
        let ended = scene
            .run_with(scene.deployment("v2", routed()), async |person| {
                person.weight("v2", 25).await;
                assert_eq!(scene.frame().routes(), 1);
                match ending {
                    "promoted" => person.control.promote(),
                    "aborted" => person.abort(),
                    _ => person.control.supersede("another"),
                }
            })
            .await;
        let gone = |ended: &crate::support::Ended| {
            ended.film.always("no route without its set", |f| f.routes() == 0 || f.weight("v2") == 25);
            assert_eq!(ended.film.last().routes(), 0, "{ending}");
        };
        match ending {
            "promoted" => {
                ended.succeeded();
                gone(&ended);
                scene.assert_live("v2");
            }
            "aborted" => {
                ended.aborted();
                gone(&ended);
                scene.assert_live("v1");
            }
            _ => {
                ended.superseded();
                let next = scene.run(scene.deployment("v3", canary_of(vec![]))).await;
                next.succeeded();
                gone(&next);
                scene.assert_live("v3");
            }
        }
    }
}

pub(crate) async fn at_no_share_only_the_listed_reach_it() {
    let scene = Scene::serving(4).await;
    let listed = with_a_route(step(0, Some(1), StepPause::UntilPromoted));
    let ended = scene
        .run_with(scene.deployment("v2", listed), async |person| {
            person.until("v2 is reached by a route", |frame| frame.leads_to("v2")).await;
            let frame = scene.frame();
            assert_eq!((frame.weight("v2"), frame.weight("v1"), frame.routes()), (0, 100, 1));
            person.wait(600).await;
            person.abort();
        })
        .await;
    ended.aborted();
    assert_eq!(ended.film.weights("v2"), [0]);
    assert!(!ended.film.last().leads_to("v2"), "afterwards nobody reaches it");
    scene.assert_live("v1");
}

pub(crate) async fn a_step_by_hand_is_exactly_one_step() {
    let scene = Scene::serving(4).await;
    let ended = scene
        .run_with(scene.deployment("v2", canary(&[25, 50, 75])), async |person| {
            for (weight, size) in [(25, 1), (50, 2), (75, 3)] {
                person.weight("v2", weight).await;
                person.wait(900).await;
                let frame = scene.frame();
                assert_eq!((frame.weight("v2"), frame.size("v2"), frame.size("v1")), (weight, size, 4));
                person.control.promote();
            }
        })
        .await;
    ended.succeeded();
    assert_eq!(ended.film.weights("v2"), [0, 25, 50, 75, 100]);
    scene.assert_live("v2");
}
