//! Taking in what a person, or another process, asks for.

use super::{Cause, Decision, Direction, Outcome, Phase, RequestKind, RolloutState, Situation};
use crate::model::Timestamp;

/// The first request that was not taken in yet, taken in.
pub(super) fn take_in(s: &Situation<'_>) -> Option<Decision> {
    let request = s.seen.requests.iter().find(|request| request.number > s.state.last_request)?;
    let number = request.number;
    let decision = match &request.kind {
        RequestKind::Supersede { by } => {
            return Some(Decision::Finish(Outcome::Superseded { by: by.clone() }));
        }
        RequestKind::Pause if s.state.is_forward() => {
            let now = s.now();
            s.advance("paused by request", |state| {
                state.last_request = number;
                state.paused_since.get_or_insert(now);
            })
        }
        RequestKind::Resume if s.state.paused_since.is_some() => s.progress("resumed by request", |state| {
            state.last_request = number;
            state.paused_since = None;
        }),
        RequestKind::Promote if is_baking(s) => {
            let now = s.now();
            s.progress("promoted by request", |state| {
                state.last_request = number;
                state.promoted = Some(state.step);
                skip_time(state, now);
            })
        }
        RequestKind::PromoteFully if s.state.is_forward() => {
            let now = s.now();
            s.progress("promoted fully by request", |state| {
                state.last_request = number;
                state.promoted_fully = true;
                skip_time(state, now);
            })
        }
        RequestKind::Abort { reason } if s.state.is_forward() && s.state.phase != Phase::Retiring => {
            let cause = Cause::AbortRequested { reason: reason.clone() };
            s.progress("going back: aborted by request", |state| {
                state.last_request = number;
                state.direction = Direction::Backward { cause };
                state.paused_since = None;
                state.reached = 0;
            })
        }
        RequestKind::Scale { replicas } if *replicas > 0 => s.progress("scaled by request", |state| {
            state.last_request = number;
            state.replicas = *replicas;
            state.largest = state.largest.max(*replicas);
            if matches!(state.phase, Phase::Shifting | Phase::Baking) {
                state.phase = Phase::Provisioning;
            }
        }),
        _ => s.advance("a request came too late, or asks for nothing", |state| state.last_request = number),
    };
    Some(decision)
}

fn is_baking(s: &Situation<'_>) -> bool {
    s.state.is_forward()
        && (s.state.phase == Phase::Baking || s.state.bake_until.is_some_and(|until| until > s.now()))
}

fn skip_time(state: &mut RolloutState, now: Timestamp) {
    state.bake_until = state.bake_until.map(|until| until.min(now));
}
