//! Taking in what a person, or another process, asks for.

use super::{Cause, Decision, Direction, Outcome, Phase, Request, RequestKind, RolloutState, Situation};
use crate::model::Timestamp;

/// The first request that was not taken in yet, taken in.
pub(super) fn take_in(s: &Situation<'_>) -> Option<Decision> {
    let request = s.seen.requests.iter().find(|request| request.number > s.state.last_request)?;
    let taken = |state: &mut RolloutState| take(state, request);
    let why = |what: &str| format!("{what}{}", by(request));
    let decision = match &request.kind {
        RequestKind::Supersede { by } => {
            return Some(Decision::Finish(Outcome::Superseded { by: by.clone() }));
        }
        RequestKind::Pause if s.state.is_forward() => {
            let now = s.now();
            s.advance(why("paused by request"), |state| {
                taken(state);
                state.paused_since.get_or_insert(now);
            })
        }
        RequestKind::Resume if s.state.paused_since.is_some() => {
            s.progress(why("resumed by request"), |state| {
                taken(state);
                state.paused_since = None;
            })
        }
        RequestKind::Promote if is_baking(s) && s.state.promoted != Some(s.state.step) => {
            let now = s.now();
            s.progress(why("promoted by request"), |state| {
                taken(state);
                state.promoted = Some(state.step);
                skip_time(state, now);
            })
        }
        RequestKind::PromoteFully if s.state.is_forward() => {
            let now = s.now();
            s.progress(why("promoted fully by request"), |state| {
                taken(state);
                state.promoted_fully = true;
                skip_time(state, now);
            })
        }
        RequestKind::Abort { reason } if s.state.is_forward() && s.state.phase != Phase::Retiring => {
            let cause = Cause::AbortRequested { reason: reason.clone() };
            s.progress(why("going back: aborted by request"), |state| {
                taken(state);
                state.direction = Direction::Backward { cause };
                state.paused_since = None;
                state.reached = 0;
            })
        }
        RequestKind::Scale { replicas } if *replicas > 0 => s.progress(why("scaled by request"), |state| {
            taken(state);
            state.replicas = *replicas;
            state.largest = state.largest.max(*replicas);
            if matches!(state.phase, Phase::Shifting | Phase::Baking) {
                state.phase = Phase::Provisioning;
            }
        }),
        _ => s.advance(why("a request came too late, or asks for nothing"), taken),
    };
    Some(decision)
}

/// Remembers that it was taken in.
fn take(state: &mut RolloutState, request: &Request) {
    state.last_request = request.number;
    if let Some(posted) = &request.posted {
        state.last_posted = posted.number;
    }
}

/// Who asked, where that was not this process.
fn by(request: &Request) -> String {
    request.posted.as_ref().map(|posted| format!(" of {}", posted.by)).unwrap_or_default()
}

fn is_baking(s: &Situation<'_>) -> bool {
    s.state.is_forward()
        && (s.state.phase == Phase::Baking || s.state.bake_until.is_some_and(|until| until > s.now()))
}

fn skip_time(state: &mut RolloutState, now: Timestamp) {
    state.bake_until = state.bake_until.map(|until| until.min(now));
}
