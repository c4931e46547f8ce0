//! Which member gets a request.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use deployer_core::model::{Maintenance, RouteMatch};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{claim::Claim, cookie, member::MemberState, set::SetState};

/// A split, ready to pick from. Picks happen under a read lock and count themselves before it is released; the
/// split is replaced under the write lock. So whoever replaced it knows that every earlier pick is counted.
#[derive(Debug)]
pub(super) enum Routing {
    /// The sets are in the order of their names.
    Serve {
        sets: Vec<SetMembers>,
        total_weight: u64,
        routes: Vec<(Matcher, usize)>,
    },
    Maintenance(OwnMessage),
}

/// A set of the split with its weight and members.
#[derive(Debug)]
pub(super) struct SetMembers {
    pub(super) state: Arc<SetState>,
    pub(super) weight: u64,
    pub(super) members: Vec<Arc<MemberState>>,
}

/// What is answered under maintenance; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct OwnMessage {
    pub(super) retry_after: HeaderValue,
    pub(super) message: Bytes,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Pick {
    Member(Claim),
    /// Its set has nobody to answer.
    Unavailable(Arc<SetState>),
    /// The split sends it nowhere.
    Nowhere,
    Maintenance(OwnMessage),
}

/// A route's condition, parsed.
#[derive(Debug)]
pub(super) enum Matcher {
    Header(HeaderName, Vec<u8>),
    Cookie(Vec<u8>, Vec<u8>),
}

impl Routing {
    /// Picks the set by the first route that matches, else the one whose part of 0 to 2^64 has `point` in it; then a
    /// member of it in turn.
    ///
    /// Where the point is random, uniform over 64 bits, the choice is independent for each request: its expectation is
    /// exact, and it cannot fall into step with a pattern in the clients' requests as a fixed sequence would. Where it
    /// is the client's own, the client stays.
    pub(super) fn pick(&self, headers: &HeaderMap, point: u64, now: Instant) -> Pick {
        match self {
            Self::Maintenance(message) => Pick::Maintenance(message.clone()),
            Self::Serve { sets, total_weight, routes } => {
                let routed = routes.iter().find(|(matcher, _)| matcher.matches(headers));
                let set = match routed {
                    Some((_, index)) => sets.get(*index),
                    None => by_weight(sets, *total_weight, point),
                };
                let Some(set) = set else { return Pick::Nowhere };
                match set.next_member(&[], now) {
                    Some(member) => Pick::Member(Claim::new(member.clone())),
                    None => Pick::Unavailable(set.state.clone()),
                }
            }
        }
    }

    /// Picks another member of the same set for a request that none of `tried` took. A set that has left the split
    /// meanwhile does not bind it any more.
    pub(super) fn pick_other(
        &self,
        first_set: &Arc<SetState>,
        tried: &[Arc<MemberState>],
        headers: &HeaderMap,
        point: u64,
        now: Instant,
    ) -> Pick {
        if let Self::Serve { sets, .. } = self
            && let Some(set) = sets.iter().find(|set| Arc::ptr_eq(&set.state, first_set))
        {
            return match set.next_member(tried, now) {
                Some(member) => Pick::Member(Claim::new(member.clone())),
                None => Pick::Unavailable(set.state.clone()),
            };
        }
        self.pick(headers, point, now)
    }
}

impl SetMembers {
    /// In turn, passing over ejected members unless all are: the last one is never ejected.
    fn next_member(&self, tried: &[Arc<MemberState>], now: Instant) -> Option<&Arc<MemberState>> {
        let count = self.members.len();
        if count == 0 {
            return None;
        }
        let first = self.state.next_turn() % count;
        let mut candidates = (first..first + count)
            .map(|index| &self.members[index % count])
            .filter(|member| !tried.iter().any(|done| Arc::ptr_eq(done, member)));
        let fallback = candidates.next()?;
        if !fallback.ejection.is_ejected(now) {
            return Some(fallback);
        }
        Some(candidates.find(|member| !member.ejection.is_ejected(now)).unwrap_or(fallback))
    }
}

impl OwnMessage {
    pub(super) fn new(maintenance: &Maintenance) -> Self {
        Self {
            retry_after: HeaderValue::from(maintenance.retry_after_seconds),
            message: Bytes::from(maintenance.message.clone()),
        }
    }
}

impl Matcher {
    /// Of a route that was [checked](super::validate::check); `None` for one that could never match.
    pub(super) fn new(matches: &RouteMatch) -> Option<Self> {
        Some(match matches {
            RouteMatch::Header { name, value } => {
                Self::Header(HeaderName::from_bytes(name.as_bytes()).ok()?, value.clone().into_bytes())
            }
            RouteMatch::Cookie { name, value } => {
                Self::Cookie(name.clone().into_bytes(), value.clone().into_bytes())
            }
        })
    }

    fn matches(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Header(name, value) => headers.get_all(name).iter().any(|this| this.as_bytes() == value),
            Self::Cookie(name, value) => cookie::has(headers, name, value),
        }
    }
}

fn by_weight(sets: &[SetMembers], total: u64, point: u64) -> Option<&SetMembers> {
    let point = (u128::from(point) * u128::from(total)) >> 64;
    let mut upper = 0;
    sets.iter().find(|set| {
        upper += u128::from(set.weight);
        point < upper
    })
}
