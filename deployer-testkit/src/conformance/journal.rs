//! The suite for journals.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    error::report,
    event::{Event, EventKind},
    model::{DeploymentId, Epoch, StageId, Timestamp, WorkloadId},
    ports::{Journal, JournalError},
};
use futures::future::join_all;

use super::{
    ConformanceReport,
    check::{Check, Checked, Suite, ensure, ensure_eq, failed, not_applicable, poll_and_drop, worked},
    scope,
};

/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What the [journal suite](journal) needs to know of an implementation.
#[async_trait]
pub trait JournalRig: Debug + Send + Sync {
    /// A handle on the journal: each time the same content, by another handle, as another process would have it.
    async fn open(&self) -> Arc<dyn Journal>;

    /// Changes something inside of what was stored of a deployment. Whether it could be done.
    async fn corrupt(&self, deployment: &DeploymentId) -> bool {
        let _ = deployment;
        false
    }
}

const ROUND_TRIP: Check = Check {
    name: "what-was-appended-is-loaded",
    proves: "`create` and `append` return when the event is durable; `load` gives all of them, in order, unchanged, to \
             every handle",
    matters: "a resumed deployment repeats what it forgot, or takes a decision that was never made",
};

const LARGE: Check = Check {
    name: "large-and-foreign-text-is-kept",
    proves: "an event of 100 KiB, of any characters, is an event as any other",
    matters: "a release with a long config can never be deployed, or its journal cannot be read after a crash",
};

const EXISTS: Check = Check {
    name: "a-name-is-used-once",
    proves: "`create` fails with `AlreadyExists` if the deployment has a journal; `append` and `load` fail with `NotFound` \
             if it has none",
    matters: "the decisions of two deployments are mixed, or an audit trail is overwritten",
};

const FENCED: Check = Check {
    name: "an-older-epoch-cannot-append",
    proves: "`append` fails with `Fenced` for an epoch older than the last written, without effect",
    matters: "two deployers each believe that their decision holds",
};

const ORDER: Check = Check {
    name: "events-follow-each-other",
    proves: "`append` fails with `OutOfOrder` for a number that does not follow, without effect",
    matters: "an event that was thought to be written is missing, and nobody notices",
};

const LISTED: Check = Check {
    name: "each-workload-lists-its-deployments",
    proves: "`list` has the deployments of a workload, oldest first; one of several workloads is listed by each of them",
    matters: "the release to go back to is the last one that succeeded: in a wrong order it is the wrong one",
};

const EPOCH: Check = Check {
    name: "the-last-epoch-is-the-largest",
    proves: "`last_epoch` is the largest epoch that any journal of the workload was written with; 0 without one",
    matters: "a new owner gets an epoch that was used before, and fences nobody",
};

const AT_ONCE: Check = Check {
    name: "one-of-many-at-once-is-written",
    proves: "of several handles that append the same number at once one succeeds",
    matters: "a number twice makes the journal unreadable after the next crash",
};

const DROPPED: Check = Check {
    name: "a-dropped-append-is-there-or-not",
    proves: "after an append that was dropped, `load` gives what is durable, and that can be gone on from",
    matters: "a deployer that is stopped while it writes could never be resumed",
};

const CORRUPT: Check = Check {
    name: "damage-is-found",
    proves: "`load` fails with `Corrupt` where a record is not what was written",
    matters: "a resumed deployment acts on decisions that nobody made",
};

/// Whether a journal keeps the contract of [`Journal`].
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use deployer_core::{journal::MemoryJournal, ports::Journal};
/// use deployer_testkit::conformance::{self, JournalRig};
///
/// #[derive(Debug, Default)]
/// struct Rig(MemoryJournal);
///
/// #[async_trait]
/// impl JournalRig for Rig {
///     async fn open(&self) -> Arc<dyn Journal> {
///         Arc::new(self.0.clone())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// conformance::journal(&Rig::default()).await.assert();
/// # });
/// ```
pub async fn journal(rig: &dyn JournalRig) -> ConformanceReport {
    let name = format!("{:?}", rig.open().await);
    let mut suite = Suite::new("Journal", name.split(['(', ' ', '{']).next().unwrap_or_default(), LIMIT);
    suite.run(ROUND_TRIP, round_trip(rig)).await;
    suite.run(LARGE, large(rig)).await;
    suite.run(EXISTS, exists(rig)).await;
    suite.run(FENCED, fenced(rig)).await;
    suite.run(ORDER, order(rig)).await;
    suite.run(LISTED, listed(rig)).await;
    suite.run(EPOCH, last_epoch(rig)).await;
    suite.run(AT_ONCE, at_once(rig)).await;
    suite.run(DROPPED, dropped(rig)).await;
    suite.run(CORRUPT, corrupt(rig)).await;
    suite.finish()
}

/// Any durable event: which kind it is does not matter to a journal.
fn event(deployment: &DeploymentId, seq: u64, epoch: u64, message: &str) -> Event {
    Event {
        deployment: deployment.clone(),
        seq,
        epoch: Epoch(epoch),
        at: Timestamp::from_millis(1_767_225_600_000 + seq),
        path: vec![StageId::new("rollout").expect("a plain name")],
        kind: EventKind::StageFailed { message: message.to_owned() },
    }
}

/// A journal of a fresh workload with so many events.
async fn begun(journal: &dyn Journal, events: u64) -> Checked<(WorkloadId, Vec<Event>)> {
    let (workload, deployment) = (scope::fresh_workload(), scope::fresh_deployment());
    let mut written = vec![event(&deployment, 0, 1, "first")];
    worked("create", journal.create(std::slice::from_ref(&workload), &written[0]).await)?;
    for seq in 1..events {
        written.push(event(&deployment, seq, 1, "next"));
        worked("append", journal.append(&written[written.len() - 1]).await)?;
    }
    Ok((workload, written))
}

/// What every handle has to see.
async fn holds(rig: &dyn JournalRig, journal: &dyn Journal, written: &[Event]) -> Checked {
    let deployment = &written[0].deployment;
    let other = rig.open().await;
    for (whose, handle) in [("the handle that wrote", journal), ("another handle", &*other)] {
        let loaded = worked(&format!("load by {whose}"), handle.load(deployment).await)?;
        let seen = || format!("{whose}: {} events, the last one {:?}", loaded.len(), loaded.last());
        ensure(loaded == written, seen, format!("{} events, as they were written", written.len()))?;
    }
    Ok(())
}

async fn round_trip(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let (_, mut written) = begun(&*journal, 4).await?;
    holds(rig, &*journal, &written).await?;
    // Another process with a newer epoch goes on.
    let other = rig.open().await;
    written.push(event(&written[0].deployment, 4, 3, "by somebody else"));
    worked("append by another handle", other.append(&written[4]).await)?;
    holds(rig, &*other, &written).await
}

async fn large(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let (_, mut written) = begun(&*journal, 1).await?;
    let texts = [
        "x".repeat(100 * 1024),
        "line\nbreak\r\n\ttab \"quote\" \\ \u{0} \u{7f}".to_owned(),
        "äöü 漢字 🚀 \u{202e}".repeat(500),
    ];
    for text in texts {
        let next = event(&written[0].deployment, written.len() as u64, 1, &text);
        worked("append", journal.append(&next).await)?;
        written.push(next);
    }
    holds(rig, &*journal, &written).await
}

async fn exists(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let (workload, written) = begun(&*journal, 2).await?;
    let elsewhere = scope::fresh_workload();
    for (handle, workload) in
        [(journal.clone(), &workload), (rig.open().await, &workload), (rig.open().await, &elsewhere)]
    {
        let again = event(&written[0].deployment, 0, 2, "again");
        let answer = handle.create(std::slice::from_ref(workload), &again).await;
        let right = matches!(answer, Err(JournalError::AlreadyExists(_)));
        ensure(right, || format!("create again: {}", in_words(&answer)), "`AlreadyExists`")?;
    }
    holds(rig, &*journal, &written).await?;
    let nobody = scope::fresh_deployment();
    let answer = journal.load(&nobody).await;
    let right = matches!(answer, Err(JournalError::NotFound(_)));
    ensure(right, || format!("load of nothing: {}", in_words(&answer)), "`NotFound`")?;
    let answer = journal.append(&event(&nobody, 0, 1, "first")).await;
    let right = matches!(answer, Err(JournalError::NotFound(_)));
    ensure(right, || format!("append to nothing: {}", in_words(&answer)), "`NotFound`")
}

async fn fenced(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let (_, mut written) = begun(&*journal, 1).await?;
    written.push(event(&written[0].deployment, 1, 7, "by a newer owner"));
    worked("append", journal.append(&written[1]).await)?;
    for handle in [journal.clone(), rig.open().await] {
        let answer = handle.append(&event(&written[0].deployment, 2, 6, "by an older owner")).await;
        let right = matches!(answer, Err(JournalError::Fenced { .. }));
        ensure(right, || format!("append with epoch 6 after 7: {}", in_words(&answer)), "`Fenced`")?;
    }
    holds(rig, &*journal, &written).await
}

async fn order(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let (_, written) = begun(&*journal, 3).await?;
    for seq in [0, 1, 2, 4, 9] {
        let answer = journal.append(&event(&written[0].deployment, seq, 1, "wrong")).await;
        let right = matches!(answer, Err(JournalError::OutOfOrder { .. }));
        ensure(right, || format!("event {seq} after 2: {}", in_words(&answer)), "`OutOfOrder`")?;
    }
    holds(rig, &*journal, &written).await
}

async fn listed(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let workloads = [scope::fresh_workload(), scope::fresh_workload()];
    let mut expected = [Vec::new(), Vec::new()];
    // In another order than that of their names.
    let mut names = [scope::fresh_deployment(), scope::fresh_deployment(), scope::fresh_deployment()];
    names.reverse();
    for (number, (name, of)) in
        names.iter().zip([&workloads[..1], &workloads[..], &workloads[1..]]).enumerate()
    {
        worked("create", journal.create(of, &event(name, 0, number as u64 + 1, "first")).await)?;
        for (workload, expected) in workloads.iter().zip(&mut expected) {
            if of.contains(workload) {
                expected.push(name.clone());
            }
        }
    }
    for handle in [journal, rig.open().await] {
        for (workload, expected) in workloads.iter().zip(&expected) {
            ensure_eq("list", &worked("list", handle.list(workload).await)?, expected)?;
        }
        let nothing = worked("list of nothing", handle.list(&scope::fresh_workload()).await)?;
        ensure_eq("list of a workload without deployments", &nothing, &Vec::new())?;
        worked("load", handle.load(&names[1]).await)?;
    }
    Ok(())
}

async fn last_epoch(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let nothing = worked("last_epoch", journal.last_epoch(&scope::fresh_workload()).await)?;
    ensure_eq("epoch without a journal", &nothing, &Epoch(0))?;
    let workloads = [scope::fresh_workload(), scope::fresh_workload()];
    for (epochs, of) in [([2, 9], &workloads[..]), ([3, 4], &workloads[..1])] {
        let deployment = scope::fresh_deployment();
        worked("create", journal.create(of, &event(&deployment, 0, epochs[0], "first")).await)?;
        worked("append", journal.append(&event(&deployment, 1, epochs[1], "next")).await)?;
    }
    for handle in [journal, rig.open().await] {
        for workload in &workloads {
            let epoch = worked("last_epoch", handle.last_epoch(workload).await)?;
            ensure_eq("epoch", &epoch, &Epoch(9))?;
        }
    }
    Ok(())
}

async fn at_once(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let (_, mut written) = begun(&*journal, 1).await?;
    let candidates: Vec<_> =
        (0..4).map(|who| event(&written[0].deployment, 1, 1, &format!("by {who}"))).collect();
    let answers = join_all(candidates.iter().map(|event| journal.append(event))).await;
    let winners: Vec<_> = candidates.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).collect();
    let [(winner, _)] = winners[..] else {
        let seen = answers.iter().map(in_words).collect::<Vec<_>>().join("; ");
        return Err(failed(format!("four appends of number 1 at once: {seen}"), "one of them is written"));
    };
    written.push(winner.clone());
    holds(rig, &*journal, &written).await?;
    let deployment = scope::fresh_deployment();
    let workload = [scope::fresh_workload()];
    let first = event(&deployment, 0, 1, "first");
    let answers = join_all((0..4).map(|_| journal.create(&workload, &first))).await;
    let created = answers.iter().filter(|answer| answer.is_ok()).count();
    ensure(created == 1, || format!("{created} of four creations at once succeeded"), "one of them does")?;
    let listed = worked("list", journal.list(&workload[0]).await)?;
    ensure_eq("list", &listed, &vec![deployment])
}

async fn dropped(rig: &dyn JournalRig) -> Checked {
    for polls in [0, 1, 2, 3, 5, 8] {
        let journal = rig.open().await;
        let (_, mut written) = begun(&*journal, 2).await?;
        let next = event(&written[0].deployment, 2, 1, "dropped");
        poll_and_drop(journal.append(&next), polls).await;
        // A call that was dropped may still be under way: an event with the same number settles it either way.
        let last = event(&written[0].deployment, 2, 2, "settled");
        let settled = rig.open().await;
        match settled.append(&last).await {
            Ok(()) => written.push(last),
            Err(JournalError::OutOfOrder { .. }) => written.push(next),
            Err(error) => return Err(failed(report(&error), "it is appended, or the dropped one was")),
        }
        let loaded = worked("load", rig.open().await.load(&written[0].deployment).await)?;
        ensure(loaded == written, || format!("{loaded:?}"), format!("{written:?}"))?;
    }
    Ok(())
}

async fn corrupt(rig: &dyn JournalRig) -> Checked {
    let journal = rig.open().await;
    let (_, written) = begun(&*journal, 4).await?;
    let deployment = &written[0].deployment;
    if !rig.corrupt(deployment).await {
        return Err(not_applicable("the rig cannot change what is stored"));
    }
    let answer = rig.open().await.load(deployment).await;
    ensure(matches!(answer, Err(JournalError::Corrupt { .. })), || in_words(&answer), "`Corrupt`")
}

fn in_words<T: Debug>(answer: &Result<T, JournalError>) -> String {
    match answer {
        Ok(value) => format!("accepted: {value:?}"),
        Err(error) => report(error),
    }
}
