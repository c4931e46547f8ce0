//! SIGKILL for the helper in the middle of a rollout.

use std::time::Instant;

use deployer::event::EventKind;
use deployer_testkit::cases::say;
use futures::StreamExt as _;

use crate::{
    processes::kill,
    recipes::{Kind, app},
    stand::{Stand, WEB, ended, load},
};

pub(crate) async fn a_rollout_survives_the_death_of_the_helper(stand: &Stand) {
    let address = stand.serve_v1(WEB).await;
    let load = load(address, 200).await;
    let helper = stand.host.helper().await.unwrap();
    let deployment = stand.deployment(WEB, &app("v2"), Kind::Rolling).build().unwrap();
    let mut events = deployment.events();
    let killing = async {
        let mut intents = 0;
        while intents < 5 {
            let event = events.next().await.expect("the rollout has more than four actions");
            intents += usize::from(matches!(event.kind, EventKind::Intent { .. }));
        }
        let living: Vec<u32> = stand.processes(WEB).iter().map(|marked| marked.pid).collect();
        kill(helper);
        let killed_at = Instant::now();
        // At most the one that it was just stopping is gone.
        let after: Vec<u32> = stand.processes(WEB).iter().map(|marked| marked.pid).collect();
        let gone = living.iter().filter(|pid| !after.contains(pid)).count();
        assert!(gone <= 1, "{after:?} were {living:?}");
        while events.next().await.is_some() {}
        killed_at
    };
    let (report, killed_at) = tokio::join!(deployment.run(), killing);
    report.unwrap();
    say(&format!("    the rollout ended {:?} after the helper was killed", killed_at.elapsed()));
    assert_ne!(stand.host.helper().await.unwrap(), helper);
    assert_eq!(stand.address(WEB).await, address, "the new helper listens where the old one did");
    stand.assert_live(WEB, "v2");
    let result = ended("the helper was killed, what it was answering is lost", load, 0).await;
    say(&format!("      {:?}", result.failed_by_kind));
    let again = stand.deploy("v3", Kind::Rolling).await.unwrap();
    assert_eq!(again.rollouts[0].live.len(), 1, "{again}");
    stand.assert_live(WEB, "v3");
}
