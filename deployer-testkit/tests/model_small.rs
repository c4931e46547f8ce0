//! The promises of every strategy in the scenarios that take a moment: what finds mistakes while `cargo xtask mutants`
//! plants them. `cargo xtask model` has the rest.

use deployer_testkit::model::{ModelReport, check_all};

#[test]
fn every_strategy_keeps_its_promises_with_two_instances() {
    for words in [
        ["2 instances, router Silent, core", "1 faults"],
        ["2 instances, router None, core", "1 faults"],
        ["2 instances, router Proves, core, first release", "1 faults"],
        ["blue-green 50%, 2 instances, router Proves", "1 faults"],
        ["rolling 1/0 by 1, 2 instances, router Proves", "1 faults"],
        ["1 instances, router None", "1 requests"],
    ] {
        let report = check_all(&words);
        let ModelReport::Checked(all) = &report else { panic!("strategies were asked for: {report}") };
        assert!(!all.is_empty() && report.passed(), "{report}");
    }
}
