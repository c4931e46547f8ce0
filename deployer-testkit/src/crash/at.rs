//! A crash at one point.

use std::{collections::BTreeMap, fmt, future::Future};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{CrashPoint, Moment, kind_of};
use crate::inject::{After, Before, Injector, PortCall};

type OnReach = Box<dyn Fn(&CrashPoint) + Send + Sync>;

/// An injector that lets a run come as far as one point and not further: from there on no call returns.
///
/// Give it to a [`Wrapped`](crate::inject::Wrapped) around target, router, journal and lock. Then either drop the run when
/// the point is reached, which [`crashed`](Self::crashed) does, or kill the process in
/// [`doing`](Self::doing), which is called at that very moment.
///
/// For a record, [`Moment::Inside`] and [`Moment::After`] are the same to the run, which learns nothing of either; a test
/// that kills its process can tear the last line of its journal in the first of them.
pub struct CrashAt {
    point: CrashPoint,
    doing: OnReach,
    seen: Mutex<Seen>,
    reached: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    counts: BTreeMap<String, u64>,
    /// The call of the point, while it is under way.
    call: Option<PortCall>,
    /// It has answered, and the next call is the end.
    answered: bool,
    reached: bool,
}

impl CrashAt {
    /// Freezes the run at this point.
    pub fn new(point: CrashPoint) -> Self {
        Self::doing(point, |_| ())
    }

    /// Does this at the point, such as to kill the process, and freezes the run should that return.
    pub fn doing(point: CrashPoint, act: impl Fn(&CrashPoint) + Send + Sync + 'static) -> Self {
        Self { point, doing: Box::new(act), seen: Mutex::default(), reached: Notify::new() }
    }

    /// Where.
    pub fn point(&self) -> &CrashPoint {
        &self.point
    }

    /// Whether it got there.
    pub fn is_reached(&self) -> bool {
        self.seen.lock().reached
    }

    /// Runs something until it reaches the point, and drops it there; `Some` if it came to its end before.
    pub async fn crashed<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.reached.notified() => None,
            ended = run => Some(ended),
        }
    }

    fn reach(&self) {
        self.seen.lock().reached = true;
        (self.doing)(&self.point);
        self.reached.notify_one();
    }

    fn is_over_before(&self, call: &PortCall) -> bool {
        let mut seen = self.seen.lock();
        let kind = kind_of(call);
        if seen.answered || kind != Some(&self.point.kind) || seen.call.is_some() {
            return seen.answered;
        }
        let count = seen.counts.entry(self.point.kind.clone()).or_default();
        *count += 1;
        if *count == self.point.number {
            seen.call = Some(call.clone());
        }
        seen.call.is_some() && self.point.moment == Moment::Before
    }

    fn is_over_after(&self, call: &PortCall) -> bool {
        let mut seen = self.seen.lock();
        if seen.call.as_ref() != Some(call) {
            return false;
        }
        // A record is followed by nothing but the next call, and the last record by none.
        let is_over = self.point.moment == Moment::Inside || !self.point.is_effect();
        seen.answered = !is_over;
        is_over
    }
}

impl fmt::Debug for CrashAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.seen.lock();
        f.debug_struct("CrashAt").field("point", &self.point).field("seen", &*seen).finish_non_exhaustive()
    }
}

#[async_trait]
impl Injector for CrashAt {
    async fn before(&self, call: &PortCall) -> Before {
        if self.is_reached() {
            return Before::Hang;
        }
        if self.is_over_before(call) {
            self.reach();
            return Before::Hang;
        }
        Before::Go
    }

    async fn after(&self, call: &PortCall) -> After {
        if self.is_reached() {
            return After::Hang;
        }
        if self.is_over_after(call) {
            self.reach();
            return After::Hang;
        }
        After::Answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::PortKind;

    fn call(port: PortKind, operation: &'static str, number: u64, about: &str) -> PortCall {
        PortCall { port, operation, number, about: about.to_owned() }
    }

    async fn first_frozen(point: &str) -> Option<String> {
        let at = CrashAt::new(point.parse().unwrap());
        let calls = [
            call(PortKind::Journal, "append", 1, "intent"),
            call(PortKind::Target, "apply", 1, "set v2 to 3"),
            call(PortKind::Target, "observe", 1, ""),
            call(PortKind::Journal, "append", 2, "advanced"),
            call(PortKind::Journal, "append", 3, "intent"),
            call(PortKind::Router, "apply", 1, "v2=100"),
        ];
        for call in &calls {
            if at.before(call).await == Before::Hang {
                assert!(at.is_reached() && at.after(call).await == After::Hang, "{at:?}");
                return Some(format!("before {call}"));
            }
            if at.after(call).await == After::Hang {
                assert!(at.is_reached() && at.before(call).await == Before::Hang, "{at:?}");
                return Some(format!("after {call}"));
            }
        }
        assert!(!at.is_reached());
        None
    }

    #[tokio::test]
    async fn a_run_comes_to_its_point_and_no_further() {
        for (point, expected) in [
            ("intent#2.before", Some("before Journal.append number 3 (intent)")),
            ("intent#1.after", Some("after Journal.append number 1 (intent)")),
            ("apply#1.before", Some("before Target.apply number 1 (set v2 to 3)")),
            ("apply#1.inside", Some("after Target.apply number 1 (set v2 to 3)")),
            ("apply#1.after", Some("before Target.observe number 1 ()")),
            ("shift#1.inside", Some("after Router.apply number 1 (v2=100)")),
            ("shift#2.inside", None),
            ("advanced#2.before", None),
        ] {
            assert_eq!(first_frozen(point).await.as_deref(), expected, "{point}");
        }
    }

    #[tokio::test]
    async fn what_is_run_is_dropped_at_the_point() {
        let at = CrashAt::new("intent#1.after".parse().unwrap());
        let intent = call(PortKind::Journal, "append", 1, "intent");
        assert_eq!(at.crashed(async { 7 }).await, Some(7));
        let run = async {
            at.before(&intent).await;
            at.after(&intent).await;
            std::future::pending::<()>().await;
        };
        assert_eq!(at.crashed(run).await, None);
    }
}
