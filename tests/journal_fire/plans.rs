//! Another plan than that of the open deployment, and the same one twice.

use std::time::Duration;

use deployer::{
    error::DeployError,
    event::EventKind,
    strategy::{Outcome, Recreate},
};

use crate::stand::{Kind, Stand, directory, virtually};

pub(crate) fn another_plan_is_refused_by_name_or_takes_over() {
    let directory = directory();
    virtually(async || {
        let stand = Stand::serving(directory.path(), Kind::Canary).await;
        assert!(!stand.interrupted_after(Duration::from_secs(4)).await);
        let (effects, length) = (stand.effects(), stand.events("d2").await.len());
        let other_plans = [
            stand.deployment("v3").id("d2"),
            stand.deployment("v2").id("d2").replicas(7),
            stand.deployment("v2").id("d2").strategy(Recreate::default()),
            stand.deployment("v2").id("d2").revision(1),
        ];
        for other in other_plans {
            let error = other.build().unwrap().run().await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, DeployError::Refused(_)), "{text}");
            assert!(text.contains("deployment d2 exists, and has ended or has another plan"), "{text}");
        }
        assert_eq!((stand.effects(), stand.events("d2").await.len()), (effects, length), "nothing was done");

        stand.run("v3", "d3").await.unwrap();
        stand.assert_live("v3", "superseded");
        let last = stand.events("d2").await.pop().unwrap().kind;
        let EventKind::DeploymentFinished { outcome: Outcome::Superseded { by } } = last else {
            panic!("{last:?}")
        };
        assert_eq!(by, "d3");
    });
}

pub(crate) fn resumed_twice_at_once_one_goes_on() {
    for kind in Kind::ALL {
        let directory = directory();
        virtually(async || {
            let stand = Stand::serving(directory.path(), kind).await;
            stand.interrupted_after(Duration::from_secs(4)).await;
            let (one, other) = tokio::join!(stand.run("v2", "d2"), stand.run("v2", "d2"));
            let locked = |result: &Result<_, DeployError>| matches!(result, Err(DeployError::Locked { .. }));
            assert!(
                one.is_ok() && locked(&other) || other.is_ok() && locked(&one),
                "{kind:?}: {one:?}, {other:?}"
            );
            stand.assert_live("v2", &format!("{kind:?} resumed twice at once"));
            let events = stand.events("d2").await;
            let resumed =
                events.iter().filter(|event| matches!(event.kind, EventKind::Resumed { .. })).count();
            assert_eq!(resumed, 1, "{kind:?}");
        });
    }
}
