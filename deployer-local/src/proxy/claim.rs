//! One request's hold on a member.

use std::{sync::Arc, time::Duration};

use super::{member::MemberState, set::SetState};

/// One request's hold on a member: it counts as in flight there until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    member: Arc<MemberState>,
    /// The set that was picked first, if the member is of another.
    first_set: Option<Arc<SetState>>,
    outcome: Outcome,
    tunnel: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Good,
    Bad,
    /// Somebody else counts it.
    NotOurs,
}

impl Claim {
    /// Only under the lock of the routing: see [`Routing`](super::routing::Routing).
    pub(super) fn new(member: Arc<MemberState>) -> Self {
        member.begin_request();
        Self { member, first_set: None, outcome: Outcome::Unknown, tunnel: false }
    }

    pub(super) fn member(&self) -> &Arc<MemberState> {
        &self.member
    }

    /// The set that everything is counted for.
    pub(super) fn set(&self) -> &Arc<SetState> {
        self.first_set.as_ref().unwrap_or(&self.member.set)
    }

    /// The request goes to another member instead. It is counted for the set that was picked first.
    pub(super) fn move_to(&mut self, mut next: Self) {
        next.first_set = Some(self.set().clone());
        self.outcome = Outcome::NotOurs;
        *self = next;
    }

    /// The head of the answer came, or it is known that there will be none.
    pub(super) fn answered(&mut self, bad: bool, time: Duration) {
        debug_assert_eq!(self.outcome, Outcome::Unknown, "an outcome is counted once");
        self.set().count(bad, time);
        self.outcome = if bad { Outcome::Bad } else { Outcome::Good };
    }

    /// The answer broke off after its head.
    pub(super) fn broke_off(&mut self) {
        if self.outcome == Outcome::Good {
            self.set().count_bad();
            self.outcome = Outcome::Bad;
        }
    }

    /// The client left after the head of the answer.
    pub(super) fn client_left(&self) {
        self.set().count_client_gone();
    }

    /// From now on this is a tunnel.
    pub(super) fn become_tunnel(&mut self) {
        if !self.tunnel {
            self.tunnel = true;
            self.member.request_to_tunnel();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.outcome == Outcome::Unknown {
            self.set().count_client_gone();
        }
        if self.tunnel {
            self.member.end_tunnel();
        } else {
            self.member.end_request();
        }
    }
}
