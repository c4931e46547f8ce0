//! Which backends each strategy refuses, and by which name it does so.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{sync::Arc, time::Duration};

use deployer_core::{
    model::{RouteMatch, RouterCapabilities, TargetCapabilities},
    strategy::{BlueGreen, Canary, CanarySettings, Delegated, Recreate, Rolling, Strategy},
};

type Backend = (TargetCapabilities, Option<RouterCapabilities>);

/// A backend that can do everything but replace releases by itself.
fn able() -> Backend {
    let target = TargetCapabilities {
        pins_victims: true,
        admits_itself: false,
        delegates: false,
        grows_adopted: true,
        exclusive: None,
        fences: true,
        stop_grace: Duration::from_secs(10),
    };
    let router = RouterCapabilities {
        weights: true,
        header_routes: true,
        cookie_routes: true,
        maintenance: true,
        members: true,
        proves: true,
        counts_in_flight: true,
        fences: true,
    };
    (target, Some(router))
}

fn routed(routes: Vec<RouteMatch>) -> Arc<dyn Strategy> {
    Arc::new(Canary::new(CanarySettings { routes, ..CanarySettings::default() }).unwrap())
}

fn header() -> RouteMatch {
    RouteMatch::Header { name: "x-canary".into(), value: "yes".into() }
}

fn cookie() -> RouteMatch {
    RouteMatch::Cookie { name: "canary".into(), value: "yes".into() }
}

/// What a backend lacks, how that comes, and how many problems each strategy has with it.
type Lack = (&'static str, fn(&mut Backend), [usize; 8]);

#[test]
fn each_strategy_refuses_exactly_the_backends_it_cannot_work_with() {
    let lacks: [Lack; 10] = [
        ("nothing", |_| {}, [0, 0, 0, 0, 0, 0, 0, 2]),
        ("a router", |it| it.1 = None, [0, 1, 1, 0, 1, 1, 1, 1]),
        ("a router, as it delegates", |it| (it.0.delegates, it.1) = (true, None), [0, 1, 1, 0, 1, 1, 1, 0]),
        ("named victims", |it| it.0.pins_victims = false, [1, 0, 0, 0, 0, 0, 0, 2]),
        ("room for two sets", |it| it.0.exclusive = Some("a port".into()), [0, 1, 1, 0, 1, 1, 1, 2]),
        ("members", |it| it.1.as_mut().unwrap().members = false, [1, 0, 0, 0, 0, 0, 0, 2]),
        ("weights", |it| it.1.as_mut().unwrap().weights = false, [0, 0, 1, 0, 1, 1, 1, 2]),
        ("maintenance", |it| it.1.as_mut().unwrap().maintenance = false, [0, 0, 0, 1, 0, 0, 0, 2]),
        ("header routes", |it| it.1.as_mut().unwrap().header_routes = false, [0, 0, 0, 0, 1, 0, 1, 2]),
        ("cookie routes", |it| it.1.as_mut().unwrap().cookie_routes = false, [0, 0, 0, 0, 0, 1, 1, 2]),
    ];
    let strategies: [(&str, Arc<dyn Strategy>); 8] = [
        ("rolling", Arc::new(Rolling::default())),
        ("blue-green", Arc::new(BlueGreen::default())),
        ("canary", Arc::new(Canary::default())),
        ("recreate", Arc::new(Recreate::default())),
        ("canary", routed(vec![header()])),
        ("canary", routed(vec![cookie()])),
        ("canary", routed(vec![header(), cookie()])),
        ("delegated", Arc::new(Delegated::default())),
    ];
    for (what, take_away, expected) in lacks {
        let mut backend = able();
        take_away(&mut backend);
        for ((name, strategy), expected) in strategies.iter().zip(expected) {
            assert_eq!(strategy.name(), *name);
            let problems = strategy.check(&backend.0, backend.1.as_ref()).err().unwrap_or_default();
            assert_eq!(problems.len(), expected, "{strategy:?} without {what}: {problems:?}");
            assert!(problems.iter().all(|problem| problem.at.contains(name)), "{problems:?}");
        }
    }
    let mut admitting = able();
    (admitting.0.admits_itself, admitting.1.as_mut().unwrap().members) = (true, false);
    assert!(
        Rolling::default().check(&admitting.0, admitting.1.as_ref()).is_ok(),
        "readiness takes out of rotation"
    );
}
