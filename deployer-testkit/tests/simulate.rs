//! Deployments with faults, in virtual time: what `cargo xtask simulate` plays by the hundred thousand.

use deployer_testkit::simulate::{play, swarm};

#[test]
fn all_promises_are_kept_and_two_runs_of_a_seed_are_one_trace() {
    let n = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let report = swarm(0..n, 4, |_| {});
    println!("{} deployments {:?} ends {:?} faults {:?} virt {:?} differing {:?}", report.deployments, report.took, report.ends, report.faults, report.virtual_time, report.differing);
    for f in &report.failed { println!("SEED {} {}", f.seed, f.broken.as_ref().unwrap()); }
    assert!(report.passed());
}

#[test]
fn tell() {
    let Some(n) = std::env::var("SEED").ok().and_then(|n| n.parse().ok()) else { return };
    let report = play(n, true);
    println!("{}\n{:?}", report.trace.join("\n"), report.broken);
}
