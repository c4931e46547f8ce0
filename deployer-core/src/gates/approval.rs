//! A person who says that it may go on.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::answer::{answer, fail, hold, pass};
use crate::{
    model::{AttachPoint, SetId, Timestamp},
    ports::{CallContext, Gate, GateAnswer, GateWindow},
    strategy::Verdict,
};

/// How long after a decision the rollout may take to notice it.
const EVERY: Duration = Duration::from_secs(1);

/// The longest name or reason in characters.
const LONGEST_TEXT: usize = 200;

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The new set.
    pub candidate: SetId,
    /// Where in the rollout.
    pub at: AttachPoint,
    /// At which step or batch.
    pub step: u32,
    /// Since when.
    pub since: Timestamp,
}

/// Why a decision was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalError {
    /// The rollout has not come to this gate, or has left it.
    #[error("nothing waits for an approval at the moment")]
    NotAsked,
    /// Somebody decided on this question before.
    #[error("this question was decided on already: {0}")]
    Decided(String),
    /// A decision without a name is worth nothing in the audit trail.
    #[error("the name is empty: say who decides")]
    NoName,
}

#[derive(Debug, Default)]
struct Desk {
    question: Option<Question>,
    verdict: Option<Verdict>,
}

/// Holds until a person approves or rejects. Each step and each attach point is a question of its own: an approval
/// answers exactly the one that is being asked.
///
/// Decisions live in this process until the rollout has written them to its journal. After a crash before that the
/// question is asked again.
///
/// ```
/// use deployer_core::gates::{Approval, ApprovalError};
///
/// let (gate, approver) = Approval::new();
/// assert_eq!(approver.approve("ann"), Err(ApprovalError::NotAsked));
/// # let _: &dyn deployer_core::ports::Gate = &gate;
/// ```
#[derive(Debug)]
pub struct Approval {
    desk: Arc<Mutex<Desk>>,
}

/// Where a person decides. Cheap to clone; all clones are about the same gate.
#[derive(Debug, Clone)]
pub struct Approver {
    desk: Arc<Mutex<Desk>>,
}

impl Approval {
    /// A gate, and where it is decided on.
    pub fn new() -> (Self, Approver) {
        let desk = Arc::new(Mutex::new(Desk::default()));
        (Self { desk: desk.clone() }, Approver { desk })
    }
}

impl Approver {
    /// What is being asked and not decided yet.
    pub fn question(&self) -> Option<Question> {
        let desk = lock(&self.desk);
        if desk.verdict.is_some() { None } else { desk.question.clone() }
    }

    /// Lets the rollout go on from the question that is being asked.
    ///
    /// # Errors
    /// Nothing is being asked, the question is decided already, or the name is empty.
    pub fn approve(&self, by: &str) -> Result<(), ApprovalError> {
        self.decide(by, |name| pass(format!("approved by {name}")))
    }

    /// Sends the rollout back from the question that is being asked.
    ///
    /// # Errors
    /// Nothing is being asked, the question is decided already, or the name is empty.
    pub fn reject(&self, by: &str, reason: &str) -> Result<(), ApprovalError> {
        self.decide(by, |name| fail(format!("rejected by {name}: {}", printable(reason))))
    }

    fn decide(&self, by: &str, verdict: impl FnOnce(&str) -> Verdict) -> Result<(), ApprovalError> {
        let name = printable(by);
        if name.is_empty() {
            return Err(ApprovalError::NoName);
        }
        let mut desk = lock(&self.desk);
        match (&desk.question, &desk.verdict) {
            (None, _) => Err(ApprovalError::NotAsked),
            (Some(_), Some(before)) => Err(ApprovalError::Decided(before.reason().to_owned())),
            (Some(_), None) => {
                desk.verdict = Some(verdict(&name));
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Gate for Approval {
    fn describe(&self) -> String {
        "approval by a person".to_owned()
    }

    async fn evaluate(&self, _context: &CallContext, window: &GateWindow) -> GateAnswer {
        let asked = Question {
            candidate: window.candidate.clone(),
            at: window.at,
            step: window.step,
            since: window.since,
        };
        let mut desk = lock(&self.desk);
        if desk.question.as_ref() != Some(&asked) {
            *desk = Desk { question: Some(asked), verdict: None };
        }
        let verdict = desk.verdict.clone().unwrap_or_else(|| hold("waits for the approval of a person"));
        answer(window, verdict, EVERY)
    }
}

/// Every change of the desk is one assignment, so a panic elsewhere leaves nothing half-done in it.
fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn printable(text: &str) -> String {
    text.trim().chars().filter(|character| !character.is_control()).take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::tests_support::{ask, window};

    #[tokio::test]
    async fn holds_until_somebody_decides() {
        let (gate, approver) = Approval::new();
        assert_eq!(approver.approve("ann"), Err(ApprovalError::NotAsked));
        assert!(matches!(ask(&gate, &window(0)).await.verdict, Verdict::Hold { .. }));
        assert_eq!(approver.question().map(|question| question.step), Some(0));
        approver.approve(" ann\n ").unwrap();
        let answer = ask(&gate, &window(5000)).await;
        assert_eq!(answer.verdict, pass("approved by ann"));
        assert!(answer.next_at > window(5000).now);
        assert_eq!(ask(&gate, &window(6000)).await.verdict, answer.verdict, "asked again, answered alike");
        assert_eq!(approver.question(), None);
    }

    #[tokio::test]
    async fn the_first_decision_counts_and_has_a_name() {
        let (gate, approver) = Approval::new();
        ask(&gate, &window(0)).await;
        assert_eq!(approver.approve(" \n"), Err(ApprovalError::NoName));
        approver.clone().reject("bob", "no").unwrap();
        assert_eq!(approver.approve("ann"), Err(ApprovalError::Decided("rejected by bob: no".into())));
        assert_eq!(ask(&gate, &window(0)).await.verdict, fail("rejected by bob: no"));
    }

    #[tokio::test]
    async fn an_approval_answers_one_question_only() {
        let (gate, approver) = Approval::new();
        ask(&gate, &window(0)).await;
        approver.approve("ann").unwrap();
        let mut second = window(0);
        second.step = 1;
        assert!(matches!(ask(&gate, &second).await.verdict, Verdict::Hold { .. }));
        let mut other = window(0);
        other.candidate = SetId::new("v3").unwrap();
        assert!(matches!(ask(&gate, &other).await.verdict, Verdict::Hold { .. }));
    }
}
