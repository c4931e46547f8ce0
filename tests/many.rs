//! Many deployments at once, and the long waits of one, in the fake world and in virtual time.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use deployer::{
    engine::{Deployment, Limit},
    gates::gate_fn,
    model::AttachPoint,
    ports::{Gate, GateAnswer},
    strategy::{BlueGreen, BlueGreenSettings, Verdict},
};
use deployer_testkit::world::{CallKind, WorldSettings};
use futures::future::join_all;

use support::{REPLICAS, Stand, blue_green, canary, rolling};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_thousand_deployments_at_once_all_succeed() {
    let stands: Vec<Stand> =
        (0..1000).map(|seed| Stand::empty(WorldSettings { seed, ..WorldSettings::default() })).collect();
    join_all(stands.iter().map(|stand| async {
        stand.deployment("v1", rolling(1, 0)).build().unwrap().run().await.unwrap();
    }))
    .await;
    join_all(stands.iter().zip(0..).map(|(stand, number): (_, u32)| async move {
        let deployment = match number % 3 {
            0 => stand.deployment("v2", rolling(1, 0)),
            1 => stand.deployment("v2", blue_green()),
            _ => stand.deployment("v2", canary(deployer::strategy::StepPause::For(Duration::from_secs(5)))),
        };
        deployment.build().unwrap().run().await.unwrap();
    }))
    .await;
    for stand in &stands {
        stand.assert_live("v2", REPLICAS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cap_holds_and_everybody_gets_a_turn() {
    let limit = Limit::new(3);
    let stands: Vec<Stand> = (0..20).map(|_| Stand::empty(WorldSettings::default())).collect();
    let runs = join_all(stands.iter().map(|stand| async {
        stand.deployment("v1", rolling(1, 0)).limit(&limit).build().unwrap().run().await.unwrap();
    }));
    // Who deploys has called its target.
    let watch = async {
        let mut most = 0;
        loop {
            let busy = |stand: &&Stand| {
                stand.world.available(&stand.workload) < REPLICAS
                    && stand.world.calls().iter().any(|call| call.kind != CallKind::Probe)
            };
            most = most.max(stands.iter().filter(busy).count());
            assert!(most <= 3, "{most} at once");
            if stands.iter().all(|stand| stand.world.available(&stand.workload) == REPLICAS) {
                return most;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (_, most) = tokio::join!(runs, watch);
    assert_eq!(most, 3, "and the cap is made use of");
}

/// Asked every ten seconds, and undecided for twenty minutes.
fn thinking() -> impl Gate {
    gate_fn("thinks", |_context, window| async move {
        let verdict = if window.now.since(window.since) > 20 * MINUTE {
            Verdict::Pass { reason: "fine".into() }
        } else {
            Verdict::Hold { reason: "hm".into() }
        };
        let next_at = window.now.after(Duration::from_secs(10));
        GateAnswer { verdict, memory: serde_json::Value::Null, next_at }
    })
}

fn watched() -> BlueGreen {
    BlueGreen::new(BlueGreenSettings { bake: 20 * MINUTE, ..BlueGreenSettings::default() }).unwrap()
}

/// Calls to target and router, and probes, in the ten minutes after the first two.
async fn calls_in_ten_minutes(stand: &Stand, deployment: Deployment, pauses: bool) -> (usize, usize) {
    let control = deployment.control();
    let (result, counts) = tokio::join!(deployment.run(), async {
        tokio::time::sleep(MINUTE).await;
        if pauses {
            control.pause();
        }
        tokio::time::sleep(MINUTE).await;
        let count = || {
            let calls = stand.world.calls();
            let probes = calls.iter().filter(|call| call.kind == CallKind::Probe).count();
            (calls.len() - probes, probes)
        };
        let before = count();
        tokio::time::sleep(10 * MINUTE).await;
        let after = count();
        control.resume();
        (after.0 - before.0, after.1 - before.1)
    });
    result.unwrap();
    stand.assert_live("v2", REPLICAS);
    counts
}

#[tokio::test(start_paused = true)]
async fn an_idle_wait_makes_no_backend_call_but_probes() {
    for (what, gated, pauses) in [("bake time", false, false), ("pause", false, true), ("gate", true, false)]
    {
        let stand = Stand::serving().await;
        let builder = stand.deployment("v2", watched());
        let builder =
            if gated { builder.gate(AttachPoint::FullTraffic, "team", thinking()) } else { builder };
        let (calls, probes) = calls_in_ten_minutes(&stand, builder.build().unwrap(), pauses).await;
        assert_eq!(calls, 0, "{what}: calls to target and router");
        assert!(probes > 1000, "{what}: {probes} probes");
    }
}
