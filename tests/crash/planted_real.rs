//! Runs at real processes that have to fail: a point that does not exist, and a deployer that does not come back.

use deployer_testkit::{
    cases::say,
    crash::{CrashPoint, Moment},
};

use crate::{
    child::Way,
    real::{Line, killed_at},
    recipes::Kind,
    stand::{self, WEB, load},
};

pub(crate) fn a_point_that_is_not_reached_is_a_failure() {
    stand::with(async |stand| {
        let load = load(stand.serve_v1(WEB).await, 100).await;
        let mut line = Line::new(stand, Kind::BlueGreen, Way::Forward);
        let (_, end) = line.undisturbed().await.unwrap();
        let lived = line
            .crashed(&[CrashPoint::new("apply", 99, Moment::Inside)], &end, std::slice::from_ref(&load))
            .await;
        load.stop().await.assert_lossless();
        assert!(lived.missed, "{lived:?}");
        let done = lived.judged();
        assert!(done.problems.iter().any(|problem| problem.contains("was not reached")), "{done:?}");
    });
}

pub(crate) fn a_deployer_that_does_not_come_back_leaves_orphans() {
    stand::with(async |stand| {
        stand.serve_v1(WEB).await;
        let mut line = Line::new(stand, Kind::BlueGreen, Way::Forward);
        let (_, expected) = line.undisturbed().await.unwrap();
        let task = line.next();
        killed_at(&task, &CrashPoint::new("apply", 1, Moment::Inside)).await.unwrap();
        let (end, told) = line.end(&task, 1).await.unwrap();
        say(&format!("    nobody came back: {end:?}, {}", told.problems.join(", ")));
        assert!(
            end != expected && end.orphans(Way::Forward) > 0 && told.outcome.is_none(),
            "{end:?}, {told:?}"
        );
        assert!(!told.problems.is_empty());
    });
}
