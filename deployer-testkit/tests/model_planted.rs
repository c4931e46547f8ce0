//! The check is worth what it finds: every bug on purpose, by a promise of its own.

use std::sync::LazyLock;

use deployer_testkit::model::{ModelReport, check_planted};

static REPORT: LazyLock<ModelReport> = LazyLock::new(check_planted);

#[test]
fn every_planted_bug_is_caught_by_a_promise_of_the_check_itself() {
    let report = &*REPORT;
    assert!(report.passed(), "{report}");
    let ModelReport::Planted(all) = report else { panic!("planted bugs were asked for: {report}") };
    assert!(all.len() >= 10, "only {} bugs are planted", all.len());
    for caught in all {
        let violation = caught.violation.as_ref().expect("all were caught");
        assert_ne!(violation.oracle, "runtime invariant", "{}", caught.bug);
        assert_ne!(violation.oracle, "bounded", "{}: it was not found, the search was given up", caught.bug);
        assert!(!violation.trace.is_empty(), "{} has no trace", caught.bug);
    }
}

#[test]
fn a_trace_leads_from_the_start_to_the_broken_promise() {
    let report = &*REPORT;
    let ModelReport::Planted(all) = report else { panic!("planted bugs were asked for: {report}") };
    let caught = all.iter().find(|caught| caught.bug == "ceiling off by one").expect("it is planted");
    let trace = &caught.violation.as_ref().expect("it was caught").trace;
    assert_eq!(trace.first().map(String::as_str), Some("* the rollout begins"));
    let last = trace.last().expect("it is not empty");
    assert!(last.contains("ACT set v1 to 2 instances"), "the last line is the decision to blame: {last}");
}
