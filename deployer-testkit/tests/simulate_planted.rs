//! Whether the simulation finds bugs on purpose: an oracle that finds none is worth nothing.

use deployer_testkit::simulate::planted;

#[test]
fn every_bug_on_purpose_is_caught() {
    let bugs = planted(5000);
    assert_eq!(bugs.len(), 10);
    let survivors: Vec<_> = bugs.iter().filter(|bug| bug.caught.is_none()).map(|bug| bug.bug).collect();
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}
