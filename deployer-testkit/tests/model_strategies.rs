//! The production strategies in scenarios that are small enough for every test run; `cargo xtask model` has them all.

use deployer_testkit::model::{ModelReport, check_all};

#[test]
fn words_choose_scenarios_and_none_is_no_success() {
    assert!(!check_all(&["no such strategy"]).passed());
    let report = check_all(&["recreate", "1 instances", "router None"]);
    let ModelReport::Checked(all) = &report else { panic!("strategies were asked for: {report}") };
    assert_eq!(all.len(), 1, "{report}");
    assert!(all.iter().all(|found| found.strategy == "recreate"));
}

#[test]
fn the_search_is_complete_reaches_every_kind_of_end_and_is_the_same_each_time() {
    let look = || {
        let ModelReport::Checked(mut all) = check_all(&["rolling 1/0", "1 instances", "router None"]) else {
            panic!("strategies were asked for")
        };
        let found = all.pop().expect("it is in the catalog");
        assert!(found.violations.iter().all(|violation| violation.oracle != "bounded"), "{found:?}");
        (found.states, found.transitions, found.ends)
    };
    let (states, transitions, ends) = look();
    assert!(states > 10_000 && transitions > u64::from(states), "{states} states, {transitions} transitions");
    for end in ["succeeded", "rolled back", "stuck", "refused"] {
        assert!(ends.contains_key(end), "{end} was never reached: {ends:?}");
    }
    assert_eq!(look(), (states, transitions, ends));
}
