//! How long a client's connection is waited for.

use std::{
    pin::Pin,
    task::Context,
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};

use super::ProxySettings;

/// How long a new connection may bring its first request although the proxy stops: it may be on its way.
const STOP_GRACE: Duration = Duration::from_millis(100);

/// What a connection is at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    /// A request is being answered.
    pub(super) busy: bool,
    /// Part of a head has come.
    pub(super) head_begun: bool,
    /// How many requests there were, wrapping.
    pub(super) requests: u32,
    /// The client does not take what is written to it, or does not give what its request still lacks.
    pub(super) stalled: bool,
    /// How often it took or gave something, wrapping.
    pub(super) moves: u32,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Wait,
    /// Take no more requests.
    EndAfterRequest,
    /// Close it.
    Cut,
}

/// The timer of a connection. One that is set seldom: a silent connection is found when a whole period went by
/// without a request, so requests need not touch the timer.
#[derive(Debug)]
pub(super) struct Patience {
    idle: Duration,
    head: Duration,
    stall: Duration,
    since: Instant,
    sleep: Pin<Box<Sleep>>,
    waiting: Waiting,
    /// The timer is set, but the task is not registered with it.
    unregistered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// For a request after the one with this number.
    Request(u32),
    /// For the rest of a head.
    Head,
    /// For a first request, before stopping.
    FirstRequest,
    /// For the client to take or give more than it had after this many moves.
    Move(u32),
}

impl Patience {
    pub(super) fn new(settings: &ProxySettings) -> Self {
        Self {
            idle: settings.client_idle,
            head: settings.head_timeout,
            stall: settings.client_stall,
            since: Instant::now(),
            sleep: Box::pin(sleep(settings.client_idle)),
            waiting: Waiting::Request(0),
            unregistered: true,
        }
    }

    /// To be asked whenever the connection was polled. Wakes the task when there may be another answer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, stop: bool, now_at: Activity) -> Verdict {
        if now_at.stalled {
            if !matches!(self.waiting, Waiting::Move(_)) {
                self.set(Waiting::Move(now_at.moves), self.stall);
            }
        } else if now_at.head_begun {
            if self.waiting != Waiting::Head {
                self.set(Waiting::Head, self.head);
            }
        } else if stop {
            let fresh = now_at.requests == 0 && self.since.elapsed() < STOP_GRACE;
            if !fresh {
                return Verdict::EndAfterRequest;
            }
            if self.waiting != Waiting::FirstRequest {
                self.set(Waiting::FirstRequest, STOP_GRACE);
            }
        } else if self.waiting == Waiting::Head {
            self.set(Waiting::Request(now_at.requests), self.idle);
        }
        while self.unregistered || self.sleep.is_elapsed() {
            self.unregistered = false;
            if self.sleep.as_mut().poll(cx).is_pending() {
                break;
            }
            match self.waiting {
                Waiting::Head => return Verdict::Cut,
                Waiting::Move(seen) if now_at.stalled && seen == now_at.moves => return Verdict::Cut,
                Waiting::Move(_) if now_at.stalled => self.set(Waiting::Move(now_at.moves), self.stall),
                Waiting::FirstRequest => return Verdict::EndAfterRequest,
                Waiting::Request(seen) if seen == now_at.requests && !now_at.busy => {
                    return Verdict::EndAfterRequest;
                }
                Waiting::Request(_) | Waiting::Move(_) => {
                    self.set(Waiting::Request(now_at.requests), self.idle);
                }
            }
        }
        Verdict::Wait
    }

    fn set(&mut self, waiting: Waiting, time: Duration) {
        self.waiting = waiting;
        self.sleep.as_mut().reset(tokio::time::Instant::now() + time);
        self.unregistered = true;
    }
}
