//! How checks are run and written.

use std::{fmt, panic::AssertUnwindSafe, task::Poll, time::Duration};

use futures::FutureExt as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::{CheckOutcome, CheckReport, ConformanceReport};

/// How often a condition is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// One check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    /// Its name in reports.
    pub(super) name: &'static str,
    /// The sentence of the contract.
    pub(super) proves: &'static str,
    /// What goes wrong in a deployment otherwise.
    pub(super) matters: &'static str,
}

/// Why a check ended early.
#[derive(Debug)]
pub(super) enum Stop {
    NotApplicable(String),
    Failed { seen: String, expected: String },
}

/// How a check went.
pub(super) type Checked<T = ()> = Result<T, Stop>;

/// What a check that passed has to add.
pub(super) trait Note {
    fn note(self) -> Option<String>;
}

impl Note for () {
    fn note(self) -> Option<String> {
        None
    }
}

impl Note for String {
    fn note(self) -> Option<String> {
        Some(self)
    }
}

/// The implementation did something else.
pub(super) fn failed(seen: impl Into<String>, expected: impl Into<String>) -> Stop {
    Stop::Failed { seen: seen.into(), expected: expected.into() }
}

/// The check says nothing about this implementation.
pub(super) fn not_applicable(because: impl Into<String>) -> Stop {
    Stop::NotApplicable(because.into())
}

/// Goes on only if the implementation does what it should.
pub(super) fn ensure<S: Into<String>>(
    right: bool,
    seen: impl FnOnce() -> S,
    expected: impl Into<String>,
) -> Checked {
    if right { Ok(()) } else { Err(failed(seen(), expected)) }
}

/// Goes on only if two values are equal.
pub(super) fn ensure_eq<T: PartialEq + fmt::Debug>(what: &str, seen: &T, expected: &T) -> Checked {
    ensure(seen == expected, || format!("{what}: {seen:?}"), format!("{what}: {expected:?}"))
}

/// A value, or the failure of a call that should have worked.
pub(super) fn worked<T, E: std::error::Error>(what: &str, answer: Result<T, E>) -> Checked<T> {
    answer.map_err(|error| {
        let seen = format!("{what} failed: {}", deployer_core::error::report(&error));
        failed(seen, format!("{what} works"))
    })
}

/// Runs checks and writes down how they went.
#[derive(Debug)]
pub(super) struct Suite {
    report: ConformanceReport,
    limit: Duration,
}

impl Suite {
    /// A suite in which no check takes longer than `limit`.
    pub(super) fn new(port: &str, implementation: impl Into<String>, limit: Duration) -> Self {
        let (port, implementation) = (port.to_owned(), implementation.into());
        Self { report: ConformanceReport { port, implementation, checks: Vec::new() }, limit }
    }

    /// Runs one check.
    pub(super) async fn run<N: Note>(&mut self, check: Check, body: impl Future<Output = Checked<N>>) {
        let begin = Instant::now();
        let caught = AssertUnwindSafe(body).catch_unwind();
        let outcome = match timeout_at(begin + self.limit, caught).await {
            Ok(Ok(Ok(note))) => CheckOutcome::Passed { note: note.note() },
            Ok(Ok(Err(Stop::NotApplicable(because)))) => CheckOutcome::NotApplicable { because },
            Ok(Ok(Err(Stop::Failed { seen, expected }))) => bad(check, seen, expected),
            Ok(Err(panic)) => bad(check, format!("it panicked: {}", words(&*panic)), "an answer or an error"),
            Err(_) => bad(check, format!("no end within {:?}", self.limit), "every call returns in time"),
        };
        let took = begin.elapsed();
        let (name, proves) = (check.name.to_owned(), check.proves.to_owned());
        self.report.checks.push(CheckReport { name, proves, outcome, took });
    }

    /// What was found out.
    pub(super) fn finish(self) -> ConformanceReport {
        self.report
    }
}

fn bad(check: Check, seen: String, expected: impl Into<String>) -> CheckOutcome {
    CheckOutcome::Failed { seen, expected: expected.into(), matters: check.matters.to_owned() }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Looks again and again until something is as wanted, for at most `patience`. `look` says what it sees instead.
pub(super) async fn until<T>(
    patience: Duration,
    expected: &str,
    mut look: impl AsyncFnMut() -> Checked<Result<T, String>>,
) -> Checked<T> {
    let deadline = Instant::now() + patience;
    loop {
        let seen = match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if Instant::now() >= deadline {
            return Err(failed(format!("after {patience:?}: {seen}"), expected));
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Polls a future so often, each time when it asked for it, and drops it. Whether it ended before.
pub(super) async fn poll_and_drop<F: Future>(future: F, polls: usize) -> bool {
    let mut future = Box::pin(future);
    let mut polled = 0;
    std::future::poll_fn(|context| {
        if polled >= polls {
            return Poll::Ready(false);
        }
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polled >= polls => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
