//! SIGKILL for the deployer in the middle of a rollout: traffic goes on, and the same deployment again ends it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use deployer::{
    event::{Event, EventKind},
    model::WorkloadId,
    operations::{LockStatus, Operations},
    strategy::Outcome,
};
use deployer_testkit::cases::say;

use crate::{
    children::Other,
    recipes::Kind,
    stand::{Stand, WEB, answered, count, ended, load},
};

/// How many times each strategy is killed at least.
const KILLS: usize = 6;

pub(crate) async fn rolling_goes_on_after_kill_9(stand: &Stand) {
    goes_on(stand, Kind::Rolling).await;
}

pub(crate) async fn blue_green_goes_on_after_kill_9(stand: &Stand) {
    goes_on(stand, Kind::BlueGreen).await;
}

pub(crate) async fn canary_goes_on_after_kill_9(stand: &Stand) {
    goes_on(stand, Kind::Canary).await;
}

pub(crate) async fn recreate_goes_on_after_kill_9(stand: &Stand) {
    goes_on(stand, Kind::Recreate).await;
}

async fn goes_on(stand: &Stand, kind: Kind) {
    let address = stand.serve_v1(WEB).await;
    let load = load(address, 100).await;
    stand.deploy("v2", kind).await.unwrap();
    // An undisturbed run says how many records there are; the last three end it.
    let length = stand.newest_events(WEB).await.len();
    let last = length - 3;
    let mut killed_at = Vec::new();
    for release in 3..=3 + 2 * KILLS {
        let number = killed_at.len();
        let records = 1 + (last - 1) * number / (KILLS - 1);
        // Right at a record, before its effect, and a while after it; the last one is near enough to the end.
        let later = Duration::from_millis(6) * u32::try_from((KILLS - 1 - number) % 3).unwrap();
        // One that was faster than its killer is tried again with the next release.
        let killed = kill_and_resume(stand, kind, &format!("v{release}"), Moment { records, later }).await;
        killed_at.extend(killed);
        if killed_at.len() == KILLS {
            break;
        }
        // Between the crashes too.
        answered(&load, 10).await;
        if kind != Kind::Recreate {
            let so_far = load.snapshot();
            assert_eq!(so_far.failed, 0, "killed after {records} records:\n{so_far}");
        }
    }
    assert_eq!(killed_at.len(), KILLS, "it is faster than its killer: {killed_at:?}");
    say(&format!("    {}: killed after {killed_at:?} of some {length} records", kind.name()));
    let what = format!("{} with {KILLS} crashes", kind.name());
    let result = ended(&what, load, stand.retried(WEB).await).await;
    if kind != Kind::Recreate {
        result.assert_lossless();
    }
}

/// So many records, and then so much time.
#[derive(Debug, Clone, Copy)]
struct Moment {
    records: usize,
    later: Duration,
}

/// Says how many records there were when it was dead; nothing if it ended before.
async fn kill_and_resume(stand: &Stand, kind: Kind, release: &str, moment: Moment) -> Option<usize> {
    let journals = stand.journals(WEB);
    let before = files(&journals);
    let other = Other::deploying(stand.directory(), release, kind);
    let pid = other.pid();
    let is_killed = tokio::task::spawn_blocking({
        let (journals, before) = (journals.clone(), before.clone());
        move || {
            let has_come = || lines_of_new(&journals, &before) >= moment.records;
            other.kill_when("the journal has so many records", has_come, moment.later)
        }
    });
    if !is_killed.await.unwrap() {
        stand.assert_live(WEB, release);
        return None;
    }
    let found = lines_of_new(&journals, &before);
    assert_left_behind(stand, pid).await;

    let report = stand.deploy(release, kind).await.unwrap();
    assert_eq!(report.resumed, 1, "{release} killed after {found} records was begun anew:\n{report}");
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    stand.assert_live(WEB, release);
    let events = stand.newest_events(WEB).await;
    assert_journal(&events);
    assert_eq!(files(&journals).len(), before.len() + 1, "one deployment has one journal");
    Some(found)
}

/// What can be known of a deployment whose process was killed: the kernel has freed its lock.
async fn assert_left_behind(stand: &Stand, pid: u32) {
    let operations = Operations::new(stand.journal.clone()).lock(stand.lock.clone());
    let status = operations.status(&WorkloadId::new(WEB).unwrap()).await.unwrap();
    let Some(open) = &status.open else { return };
    assert_eq!((&status.lock, open.is_driven), (&LockStatus::Free, Some(false)), "{status}");
    let text = status.to_string();
    assert!(text.contains(&format!(":{pid}:")) && text.contains("which is gone; run it again"), "{text}");
}

/// One beginning, one crash, one end, numbers without a gap.
fn assert_journal(events: &[Event]) {
    let finished = |kind: &EventKind| matches!(kind, EventKind::DeploymentFinished { .. });
    assert_eq!(count(events, finished), 1, "{events:#?}");
    assert!(events.last().is_some_and(|last| finished(&last.kind)), "{events:#?}");
    assert_eq!(count(events, |kind| matches!(kind, EventKind::Resumed { .. })), 1);
    assert_eq!(count(events, |kind| matches!(kind, EventKind::RolloutStarted { .. })), 1);
    assert!(events.iter().zip(0..).all(|(event, number)| event.seq == number), "{events:#?}");
}

pub(crate) fn files(journals: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(journals).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    files.sort();
    files
}

/// Whole records of the journal that was not there before.
pub(crate) fn lines_of_new(journals: &Path, before: &[PathBuf]) -> usize {
    let new = files(journals).into_iter().find(|path| !before.contains(path));
    let text = new.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    text.matches('\n').count()
}
