//! The suite for gates.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    model::{AttachPoint, Timestamp, WorkloadId},
    ports::{CallContext, Gate, GateAnswer, GateWindow},
    strategy::Verdict,
};

use super::{
    ConformanceReport,
    check::{Check, Checked, Suite, ensure, not_applicable, poll_and_drop},
    sample, scope,
};

/// The most that a gate may remember, as JSON.
const MEMORY: usize = 4 * 1024;

/// What kind of answer a rig is asked to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GateCase {
    /// It passes.
    Passes,
    /// It fails.
    Fails,
    /// It holds: it is working on it, or a person has to say so.
    Holds,
    /// It cannot find out: whoever it asks does not answer.
    CannotFindOut,
}

/// What the [gate suite](gate) needs to know of an implementation.
#[async_trait]
pub trait GateRig: Debug + Send + Sync {
    /// A gate that answers so, and a window to ask it with; `None` for what cannot be had. Every rig has one case.
    /// [`gate_window`] makes a plain window.
    async fn gate(&self, case: GateCase) -> Option<(Arc<dyn Gate>, GateWindow)>;

    /// The workload that gates are asked about. A gate that looks at something of it, as at its requests, names one
    /// that has it; without that each question is about a workload that nobody knows.
    fn workload(&self) -> WorkloadId {
        scope::fresh_workload()
    }

    /// The deadline of each call.
    fn deadline(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// A window before traffic with one verified instance, as the engine would ask with it at this moment.
pub fn gate_window(now: Timestamp) -> GateWindow {
    GateWindow {
        at: AttachPoint::BeforeTraffic,
        step: 0,
        since: now,
        now,
        candidate: scope::set_id("v2"),
        stable: Some(scope::set_id("v1")),
        instances: Arc::from([sample::instance("v2-1", None)]),
        memory: serde_json::Value::Null,
    }
}

const PASSES: Check = Check {
    name: "a-pass-is-a-pass",
    proves: "the gate passes where it should, each time it is asked with the same window",
    matters: "a good release is held or taken back",
};

const FAILS: Check = Check {
    name: "a-failure-has-a-reason",
    proves: "the gate fails where it should, with a reason",
    matters: "a bad release goes on; without the reason nobody knows why it was taken back",
};

const HOLDS: Check = Check {
    name: "a-hold-says-when-to-ask-again",
    proves: "an indefinite verdict has a reason, and `next_at` lies after now",
    matters: "the engine would ask again at once, for ever",
};

const UNKNOWN: Check = Check {
    name: "what-cannot-be-found-out-is-unknown",
    proves: "what the gate cannot find out is `Unknown`, never a pass",
    matters: "a release passes because nobody could look at it",
};

const MEMORY_SMALL: Check = Check {
    name: "its-memory-is-small-and-its-own",
    proves: "what a gate asks to remember is at most 4 KiB as JSON, and it copes with what it remembered, or with nothing",
    matters: "a deployer that was restarted has forgotten it: the gate has to begin anew",
};

const DROPPED: Check = Check {
    name: "a-question-can-be-dropped",
    proves: "an evaluation can be dropped and asked again",
    matters: "a gate that counts questions decides by how often the deployer was restarted",
};

/// Whether a gate keeps the contract of [`Gate`].
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use async_trait::async_trait;
/// use deployer_core::{gates::gate_fn, model::Timestamp, ports::{Gate, GateAnswer, GateWindow}, strategy::Verdict};
/// use deployer_testkit::conformance::{self, GateCase, GateRig};
///
/// #[derive(Debug)]
/// struct Rig;
///
/// #[async_trait]
/// impl GateRig for Rig {
///     async fn gate(&self, case: GateCase) -> Option<(Arc<dyn Gate>, GateWindow)> {
///         let gate = gate_fn("in office hours", |_context, window| async move {
///             let hour = window.now.as_millis() / 3_600_000 % 24;
///             let verdict = if (9..17).contains(&hour) {
///                 Verdict::Pass { reason: "somebody is there".into() }
///             } else {
///                 Verdict::Hold { reason: "nobody is there before 9:00".into() }
///             };
///             GateAnswer { verdict, memory: window.memory, next_at: window.now.after(Duration::from_secs(60)) }
///         });
///         let hour = match case {
///             GateCase::Passes => 10,
///             GateCase::Holds => 3,
///             _ => return None,
///         };
///         Some((Arc::new(gate), conformance::gate_window(Timestamp::from_millis(hour * 3_600_000))))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// conformance::gate(&Rig).await.assert();
/// # });
/// ```
pub async fn gate(rig: &dyn GateRig) -> ConformanceReport {
    let mut name = String::from("a gate");
    for case in [GateCase::Passes, GateCase::Fails, GateCase::Holds, GateCase::CannotFindOut] {
        if let Some((gate, _)) = rig.gate(case).await {
            name = gate.describe();
        }
    }
    let mut suite = Suite::new("Gate", name, rig.deadline() * 20);
    suite
        .run(PASSES, answers(rig, GateCase::Passes, |verdict| matches!(verdict, Verdict::Pass { .. })))
        .await;
    suite.run(FAILS, answers(rig, GateCase::Fails, |verdict| matches!(verdict, Verdict::Fail { .. }))).await;
    suite.run(HOLDS, answers(rig, GateCase::Holds, |verdict| matches!(verdict, Verdict::Hold { .. }))).await;
    let unknown = |verdict: &Verdict| matches!(verdict, Verdict::Unknown { .. });
    suite.run(UNKNOWN, answers(rig, GateCase::CannotFindOut, unknown)).await;
    suite.run(MEMORY_SMALL, memory(rig)).await;
    suite.run(DROPPED, dropped(rig)).await;
    suite.finish()
}

fn context(rig: &dyn GateRig) -> CallContext {
    scope::context(&rig.workload(), 1, rig.deadline())
}

async fn asked(rig: &dyn GateRig, gate: &dyn Gate, window: &GateWindow) -> Checked<GateAnswer> {
    let answer = scope::within("evaluate", rig.deadline(), gate.evaluate(&context(rig), window)).await?;
    let reason = answer.verdict.reason();
    ensure(!reason.trim().is_empty(), || format!("{:?}", answer.verdict), "a verdict with a reason")?;
    let again = answer.verdict.is_definite() || answer.next_at > window.now;
    let seen = || format!("now {}, next {}: {:?}", window.now, answer.next_at, answer.verdict);
    ensure(again, seen, "`next_at` after now, for a verdict that is not definite")?;
    let size = answer.memory.to_string().len();
    ensure(size <= MEMORY, || format!("{size} bytes of memory"), "at most 4 KiB of memory")?;
    Ok(answer)
}

async fn made(rig: &dyn GateRig, case: GateCase) -> Checked<(Arc<dyn Gate>, GateWindow)> {
    let none = || not_applicable(format!("the rig has no gate for case {case:?}"));
    rig.gate(case).await.ok_or_else(none)
}

async fn any(rig: &dyn GateRig) -> Checked<(Arc<dyn Gate>, GateWindow)> {
    for case in [GateCase::Passes, GateCase::Fails, GateCase::Holds, GateCase::CannotFindOut] {
        if let Some(found) = rig.gate(case).await {
            return Ok(found);
        }
    }
    Err(not_applicable("the rig has no gate"))
}

async fn answers(rig: &dyn GateRig, case: GateCase, wanted: fn(&Verdict) -> bool) -> Checked {
    let (gate, window) = made(rig, case).await?;
    let described = gate.describe();
    ensure(!described.trim().is_empty(), || "an empty description", "what it decides on, in words")?;
    for times in 1..=3 {
        let answer = asked(rig, &*gate, &window).await?;
        let seen = || format!("asked {times} times with the same window: {:?}", answer.verdict);
        ensure(wanted(&answer.verdict), seen, format!("{case:?}"))?;
    }
    Ok(())
}

async fn memory(rig: &dyn GateRig) -> Checked {
    let (gate, window) = any(rig).await?;
    let first = asked(rig, &*gate, &window).await?;
    let mut later = GateWindow { memory: first.memory, ..window.clone() };
    for _ in 0..20 {
        let answer = asked(rig, &*gate, &later).await?;
        later.now = later.now.after(Duration::from_secs(5));
        later.memory = answer.memory;
    }
    asked(rig, &*gate, &GateWindow { now: later.now, ..window }).await.map(drop)
}

async fn dropped(rig: &dyn GateRig) -> Checked {
    let (gate, window) = any(rig).await?;
    let verdict = asked(rig, &*gate, &window).await?.verdict;
    for polls in [0, 1, 2, 3, 5] {
        poll_and_drop(gate.evaluate(&context(rig), &window), polls).await;
        let again = asked(rig, &*gate, &window).await?.verdict;
        let same = std::mem::discriminant(&again) == std::mem::discriminant(&verdict);
        ensure(same, || format!("{again:?} after a dropped question"), format!("{verdict:?}"))?;
    }
    Ok(())
}
