//! Deployments with faults, in virtual time: what `cargo xtask simulate` plays by the hundred thousand.

use deployer_testkit::simulate::{play, swarm};

#[test]
fn promises_are_kept_and_two_runs_of_a_seed_are_one_trace() {
    let n = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let report = swarm(0..n, 4, |_| {});
    println!("{report:?}");
    assert!(report.passed());
}

#[test]
fn one() {
    let Some(n) = std::env::var("SEED").ok().and_then(|n| n.parse().ok()) else { return };
    let report = play(n, true);
    println!("{}\n{:?}", report.trace.join("\n"), report.broken);
}
