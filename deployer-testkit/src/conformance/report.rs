//! What a suite found out.

use std::{fmt, time::Duration};

use deployer_core::model::settings::seconds;
use serde::{Deserialize, Serialize};

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// The implementation does what it should.
    Passed {
        /// What else there is to know: how much was covered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// It was not checked.
    NotApplicable {
        /// Why not: a capability that the implementation does not claim, or something that the rig cannot do.
        because: String,
    },
    /// The implementation does something else.
    Failed {
        /// What it did.
        seen: String,
        /// What it should have done.
        expected: String,
        /// What would go wrong in a deployment.
        matters: String,
    },
}

/// One check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Its name, the same in every version.
    pub name: String,
    /// The sentence of the contract that it proves.
    pub proves: String,
    /// How it ended.
    pub outcome: CheckOutcome,
    /// How long it took, in seconds.
    #[serde(with = "seconds")]
    pub took: Duration,
}

/// What a suite found out about one implementation of one port. Its `Display` is for people.
///
/// ```
/// use deployer_testkit::{TestClock, conformance};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let report = conformance::clock(&TestClock::new()).await;
/// report.assert();
/// assert!(report.to_string().starts_with("Clock"), "{report}");
/// assert_eq!(report.failed(), Vec::<&str>::new());
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConformanceReport {
    /// Which port.
    pub port: String,
    /// Which implementation, as it calls itself.
    pub implementation: String,
    /// All checks of the suite, in the order in which they ran; those that did not apply too.
    pub checks: Vec<CheckReport>,
}

impl ConformanceReport {
    /// Names of the checks that failed.
    pub fn failed(&self) -> Vec<&str> {
        self.names(|outcome| matches!(outcome, CheckOutcome::Failed { .. }))
    }

    /// Names of the checks that passed.
    pub fn passed(&self) -> Vec<&str> {
        self.names(|outcome| matches!(outcome, CheckOutcome::Passed { .. }))
    }

    /// Names of the checks that did not apply.
    pub fn not_applicable(&self) -> Vec<&str> {
        self.names(|outcome| matches!(outcome, CheckOutcome::NotApplicable { .. }))
    }

    /// Whether nothing failed and something passed.
    pub fn is_conformant(&self) -> bool {
        self.failed().is_empty() && !self.passed().is_empty()
    }

    /// Ends a test unless the implementation conforms.
    ///
    /// # Panics
    /// A check failed, or none applied; the message is the whole report.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.is_conformant(), "{self}");
    }

    fn names(&self, wanted: impl Fn(&CheckOutcome) -> bool) -> Vec<&str> {
        self.checks.iter().filter(|one| wanted(&one.outcome)).map(|one| one.name.as_str()).collect()
    }
}

impl fmt::Display for ConformanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed) = (self.passed().len(), self.failed().len());
        let others = self.not_applicable().len();
        let Self { port, implementation, checks } = self;
        writeln!(f, "{port} {implementation:?}: {passed} passed, {failed} failed, {others} did not apply")?;
        checks.iter().try_for_each(|check| write!(f, "{check}"))
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, proves, outcome, .. } = self;
        match outcome {
            CheckOutcome::Passed { note: None } => writeln!(f, "  ok      {name}"),
            CheckOutcome::Passed { note: Some(note) } => writeln!(f, "  ok      {name}: {note}"),
            CheckOutcome::NotApplicable { because } => writeln!(f, "  -       {name}: {because}"),
            CheckOutcome::Failed { seen, expected, matters } => {
                writeln!(f, "  FAILED  {name}")?;
                writeln!(f, "          contract: {proves}")?;
                writeln!(f, "          seen:     {seen}")?;
                writeln!(f, "          expected: {expected}")?;
                writeln!(f, "          matters:  {matters}")
            }
        }
    }
}
