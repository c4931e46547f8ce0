//! What people ask of a running deployment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    model::DeploymentId,
    strategy::{Posted, Request, RequestKind},
};

/// A handle on a deployment, to be used while it runs. Clones are the same handle.
///
/// What is asked is taken in between two decisions, in the order in which it was asked; a call to a backend that is
/// under way is never cut off. What is asked before the run begins is taken in when it begins.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Asked>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Asked {
    /// Which deployment the numbers count for, and the number before the first request.
    numbered: Option<(DeploymentId, u64)>,
    requests: Vec<Wished>,
    interrupt: Option<String>,
    /// The deployment that other processes asked something of, and the number of the last such request.
    posted: Option<(DeploymentId, u64)>,
}

#[derive(Debug)]
struct Wished {
    kind: RequestKind,
    posted: Option<Posted>,
}

/// How a person wishes a run to end that has not begun.
#[derive(Debug)]
pub(super) enum Wish {
    Interrupt(String),
    Abort(String),
}

impl Control {
    /// Stops going forward, but stays as it is.
    pub fn pause(&self) {
        self.ask(RequestKind::Pause);
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.ask(RequestKind::Resume);
    }

    /// Goes past the present pause, step or bake time.
    pub fn promote(&self) {
        self.ask(RequestKind::Promote);
    }

    /// Skips all remaining pauses, steps and gates; instances are still verified.
    pub fn promote_fully(&self) {
        self.ask(RequestKind::PromoteFully);
    }

    /// Goes back to the old release.
    pub fn abort(&self, reason: impl Into<String>) {
        self.ask(RequestKind::Abort { reason: reason.into() });
    }

    /// Changes the number of replicas.
    pub fn scale(&self, replicas: u32) {
        self.ask(RequestKind::Scale { replicas });
    }

    /// Ends it where it is: a newer deployment of the workload, named here, takes over.
    pub fn supersede(&self, by: impl Into<String>) {
        self.ask(RequestKind::Supersede { by: by.into() });
    }

    /// Stops at the next safe point, without a way on or back: the world stays as it is and the deployment can be
    /// resumed. This is what a process does that is told to end.
    pub fn interrupt(&self, why: impl Into<String>) {
        self.asked().interrupt = Some(why.into());
        self.0.wake.notify_one();
    }

    fn ask(&self, request: RequestKind) {
        self.asked().requests.push(Wished { kind: request, posted: None });
        self.0.wake.notify_one();
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody wishes it to be interrupted.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.asked().interrupt.is_some()
    }

    /// Numbers requests for a run. A run that goes on in the same process keeps its numbers.
    pub(crate) fn begin(&self, deployment: &DeploymentId, last_request: u64) {
        let mut asked = self.asked();
        if asked.numbered.as_ref().is_none_or(|(numbered, _)| numbered != deployment) {
            asked.numbered = Some((deployment.clone(), last_request));
        }
        if asked.posted.as_ref().is_some_and(|(of, _)| of != deployment) {
            asked.posted = None;
            asked.requests.retain(|wished| wished.posted.is_none());
        }
    }

    /// Takes over what another process asked of a deployment. What is known already is not taken in twice.
    pub(super) fn take_over(&self, deployment: &DeploymentId, kind: RequestKind, posted: Posted) {
        let mut asked = self.asked();
        if asked.posted.as_ref().is_some_and(|(of, last)| of == deployment && *last >= posted.number) {
            return;
        }
        asked.posted = Some((deployment.clone(), posted.number));
        asked.requests.push(Wished { kind, posted: Some(posted) });
        drop(asked);
        self.0.wake.notify_one();
    }

    /// The number of the last request that was taken over for this deployment.
    pub(super) fn last_taken_over(&self, deployment: &DeploymentId) -> u64 {
        self.asked().posted.as_ref().filter(|(of, _)| of == deployment).map_or(0, |(_, last)| *last)
    }

    /// The wish that a run that has not begun ends, once. An abort takes everything else that was asked with it.
    pub(super) fn wish_to_end(&self) -> Option<Wish> {
        if let Some(why) = self.take_interrupt() {
            return Some(Wish::Interrupt(why));
        }
        let aborts = |wished: &Wished| match &wished.kind {
            RequestKind::Abort { reason } => Some(reason.clone()),
            _ => None,
        };
        let reason = self.asked().requests.iter().find_map(aborts)?;
        self.end();
        Some(Wish::Abort(reason))
    }

    /// The deployment ended: nothing that was asked of it may reach the next.
    pub(crate) fn end(&self) {
        *self.asked() = Asked::default();
    }

    /// What was asked after the request with this number.
    pub(crate) fn since(&self, last_request: u64) -> Vec<Request> {
        let asked = self.asked();
        let before = asked.numbered.as_ref().map_or(0, |(_, before)| *before);
        (before + 1..)
            .zip(&asked.requests)
            .filter(|(number, _)| *number > last_request)
            .map(|(number, wished)| Request {
                number,
                kind: wished.kind.clone(),
                posted: wished.posted.clone(),
            })
            .collect()
    }

    /// The wish to be interrupted, once.
    pub(crate) fn take_interrupt(&self) -> Option<String> {
        self.asked().interrupt.take()
    }

    /// Ready when something was asked since the last time.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.0.wake.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_numbered_on_from_what_the_journal_has() {
        let (control, deployment) = (Control::default(), DeploymentId::new("d1").unwrap());
        control.pause();
        control.begin(&deployment, 4);
        control.clone().abort("bad");
        let requests = control.since(4);
        assert_eq!(requests.iter().map(|request| request.number).collect::<Vec<_>>(), [5, 6]);
        control.begin(&deployment, 5);
        assert_eq!(control.since(5)[0].kind, RequestKind::Abort { reason: "bad".into() });
        control.end();
        assert!(control.since(0).is_empty());
    }
}
