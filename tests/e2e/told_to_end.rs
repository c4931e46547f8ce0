//! SIGTERM for the deployer, and what another process knows and asks: traffic goes on whatever happens.

use std::time::Duration;

use deployer::{
    event::EventKind, model::WorkloadId, operations::Operations, requests::FileRequests, strategy::Outcome,
};
use deployer_testkit::cases::say;

use crate::{
    children::{ABORTED, INTERRUPTED, Other},
    crash::{files, lines_of_new},
    recipes::Kind,
    stand::{Stand, WEB, count, ended, load},
};

/// How many times each strategy is told to end at least.
const TIMES: usize = 5;

pub(crate) async fn rolling_stops_at_a_signal_and_goes_on(stand: &Stand) {
    stops_and_goes_on(stand, Kind::Rolling).await;
}

pub(crate) async fn canary_stops_at_a_signal_and_goes_on(stand: &Stand) {
    stops_and_goes_on(stand, Kind::Canary).await;
}

async fn stops_and_goes_on(stand: &Stand, kind: Kind) {
    let address = stand.serve_v1(WEB).await;
    let load = load(address, 100).await;
    stand.deploy("v2", kind).await.unwrap();
    let last = stand.newest_events(WEB).await.len() - 3;
    let mut stopped_at = Vec::new();
    for release in 3..=3 + 2 * TIMES {
        let number = stopped_at.len();
        let records = 1 + (last - 1) * number / (TIMES - 1);
        let later = Duration::from_millis(9) * u32::try_from((TIMES - 1 - number) % 3).unwrap();
        stopped_at.extend(stop_and_resume(stand, kind, &format!("v{release}"), records, later).await);
        if stopped_at.len() == TIMES {
            break;
        }
    }
    assert_eq!(stopped_at.len(), TIMES, "it is faster than the signal: {stopped_at:?}");
    say(&format!("    {}: told to end after {stopped_at:?} records", kind.name()));
    let what = format!("{} with {TIMES} SIGTERMs", kind.name());
    ended(&what, load, stand.retried(WEB).await).await.assert_lossless();
}

/// Says how many records there were when it had stopped; nothing if it ended before.
async fn stop_and_resume(
    stand: &Stand,
    kind: Kind,
    release: &str,
    records: usize,
    later: Duration,
) -> Option<usize> {
    let journals = stand.journals(WEB);
    let before = files(&journals);
    let other = Other::deploying(stand.directory(), release, kind);
    let code = tokio::task::spawn_blocking({
        let (journals, before) = (journals.clone(), before.clone());
        move || {
            let has_come = || lines_of_new(&journals, &before) >= records;
            other.terminate_when("the journal has so many records", has_come, later)
        }
    });
    let code = code.await.unwrap();
    if code == Some(0) {
        stand.assert_live(WEB, release);
        return None;
    }
    assert_eq!(code, Some(INTERRUPTED.into()), "it says that it was interrupted");
    let events = stand.newest_events(WEB).await;
    let last = &events.last().unwrap().kind;
    assert!(matches!(last, EventKind::Interrupted { why } if why.contains("SIGTERM")), "{last:?}");
    let status = operations(stand).status(&web()).await.unwrap();
    assert!(status.to_string().contains("interrupted (") && status.open.is_some(), "{status}");

    let report = stand.deploy(release, kind).await.unwrap();
    assert_eq!((report.resumed, report.outcome), (1, Some(Outcome::Succeeded)));
    stand.assert_live(WEB, release);
    let after = stand.newest_events(WEB).await;
    assert_eq!(
        count(&after, |kind| matches!(kind, EventKind::Interrupted { .. })),
        1,
        "a second signal adds nothing"
    );
    assert_eq!(files(&journals).len(), before.len() + 1, "one deployment has one journal");
    Some(events.len())
}

pub(crate) async fn another_process_looks_and_aborts(stand: &Stand) {
    let address = stand.serve_v1(WEB).await;
    let load = load(address, 100).await;
    let before = files(&stand.journals(WEB));
    let other = Other::deploying(stand.directory(), "v2", Kind::Canary);
    let (journals, pid) = (stand.journals(WEB), other.pid());
    // It is somewhere in the middle.
    let deadline = tokio::time::Instant::now() + crate::processes::LIMIT;
    while lines_of_new(&journals, &before) < 6 {
        assert!(tokio::time::Instant::now() < deadline, "it never came so far");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let operations = operations(stand);
    let status = operations.status(&web()).await.unwrap();
    let open = status.open.as_ref().unwrap();
    assert_eq!(open.is_driven, Some(true), "{status}");
    assert!(open.about.owners[0].contains(&format!(":{pid}:")), "{status}");
    assert_eq!(status.live.as_ref().unwrap().release.as_str(), "v1");
    let asked = operations.abort(&web(), "the team said so").await.unwrap();
    assert_eq!((asked.number, asked.is_driven), (1, Some(true)));
    let code = tokio::task::spawn_blocking(move || other.ended()).await.unwrap();
    assert_eq!(code, Some(ABORTED.into()));
    stand.assert_live(WEB, "v1");
    let status = operations.status(&web()).await.unwrap();
    let outcome = status.last.as_ref().unwrap().outcome.clone();
    assert_eq!(outcome, Some(Outcome::Aborted { reason: "the team said so".into() }));
    assert!(operations.abort(&web(), "again").await.is_err(), "there is nothing left to abort");
    ended("aborted by another process", load, stand.retried(WEB).await).await.assert_lossless();
}

fn web() -> WorkloadId {
    WorkloadId::new(WEB).unwrap()
}

fn operations(stand: &Stand) -> Operations {
    let requests = FileRequests::open(stand.journal.directory()).unwrap();
    Operations::new(stand.journal.clone()).lock(stand.lock.clone()).requests(requests)
}
