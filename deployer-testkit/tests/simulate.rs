//! Deployments with faults, in virtual time: a small part of what `cargo xtask simulate` plays by the hundred thousand.

use deployer_testkit::simulate::{play, swarm};

/// Every tenth of these is played twice.
const SEEDS: u64 = 120;

#[test]
fn all_promises_are_kept_and_two_runs_of_a_seed_are_one_trace() {
    let report = swarm(0..SEEDS, 10, |_| {});
    let broken = |seed: &deployer_testkit::simulate::SeedReport| (seed.seed, seed.broken.clone());
    let broken: Vec<_> = report.failed.iter().map(broken).collect();
    assert!(report.passed(), "{broken:?}, with two traces: {:?}", report.differing);
    assert_eq!((report.seeds, report.played_twice), (SEEDS, SEEDS / 10));
    for end in ["succeeded", "rolled back", "aborted", "stuck", "refused"] {
        assert!(report.ends.contains_key(end), "nothing ended as {end}: {:?}", report.ends);
    }
    for fault in
        ["answer lost", "call failed", "call hung", "death", "kill", "lie", "partition", "request", "zombie"]
    {
        assert!(report.faults.contains_key(fault), "no {fault}: {:?}", report.faults);
    }
}

/// What the simulation once found, each in the seed that showed it.
#[test]
fn what_was_found_once_stays_mended() {
    for seed in [42, 54, 297, 845] {
        let report = play(seed, false);
        assert_eq!(report.broken, None, "cargo xtask simulate --seed {seed}");
    }
}
