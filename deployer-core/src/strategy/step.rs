//! One step of a rollout: what every strategy shares, then the strategy's own decision.

use super::{
    Budget, Cause, Command, CommandKind, Decision, Observation, Outcome, PauseReason, Phase, Plan,
    RolloutState, Seen, Situation, Strategy, WaitReason,
    exchange::{Exchange, exchange},
    failure, request, rollback,
};
use crate::model::{InstancePhase, Timestamp};

/// Decides what to do next. Used by driver, preview and checker alike.
///
/// In this order: requests, failures, pause, what could not be looked at, deadlines, preparation; then the way back,
/// or the strategy's own decision.
pub fn step(strategy: &dyn Strategy, plan: &Plan, state: &RolloutState, seen: &Observation) -> Decision {
    let budget = Budget::of(strategy, plan, state);
    let situation = Situation::new(plan, state, seen, budget);
    let decision = shared(&situation).unwrap_or_else(|| within_deadline(strategy, &situation));
    match forget_timers(&situation, &decision) {
        Some(first) => first,
        None => decision,
    }
}

/// A timer belongs to one split. Before that very split comes back, what was timed for it the last time is forgotten.
fn forget_timers(s: &Situation<'_>, decision: &Decision) -> Option<Decision> {
    if s.state.settle.is_none() && s.state.drain.is_none() {
        return None;
    }
    let Decision::Act { commands, .. } = decision else { return None };
    let split = commands.iter().find_map(|command| match command {
        Command::Shift(split) => Some(split),
        _ => None,
    })?;
    let fingerprint = Observation::fingerprint_of(split);
    let is_old = |timer: &super::Timer| timer.of == fingerprint;
    if !s.state.settle.as_ref().is_some_and(is_old) && !s.state.drain.as_ref().is_some_and(is_old) {
        return None;
    }
    Some(s.advance("a split comes back: what was timed for it before is over", |state| {
        state.settle = state.settle.filter(|timer| !is_old(timer));
        state.drain = state.drain.filter(|timer| !is_old(timer));
    }))
}

fn shared(s: &Situation<'_>) -> Option<Decision> {
    if let Some(decision) = request::take_in(s) {
        return Some(decision);
    }
    if let Some(decision) = failure::take_in(s) {
        return Some(decision);
    }
    if s.state.paused_since.is_some() {
        return Some(s.pause(PauseReason::Requested));
    }
    unseen(s).or_else(|| refused(s)).or_else(|| prepare(s)).or_else(|| unjudged(s))
}

/// The clock of the progress deadline stands still while a person is waited for.
const STOPPED: Timestamp = Timestamp::from_millis(u64::MAX);

/// Nothing is decided on what could not be looked at. Never blind: after the deadline a person has to look.
fn unseen(s: &Situation<'_>) -> Option<Decision> {
    let hidden = s.seen.unknown_places.iter().find(|place| !place.remembered);
    let why = match (&s.seen.sets, &s.seen.traffic, hidden) {
        (Seen::Unknown { why }, ..) => WaitReason::TargetUnknown { why: why.clone() },
        (_, Some(Seen::Unknown { why }), _) => WaitReason::RouterUnknown { why: why.clone() },
        (.., Some(place)) => WaitReason::TargetUnknown { why: format!("{}: {}", place.place, place.why) },
        _ => return None,
    };
    if s.state.progress_until == STOPPED {
        return Some(s.progress("lost sight of it: the clock runs again", |_| {}));
    }
    if s.now() < s.state.progress_until {
        return Some(s.wait(why));
    }
    if s.state.phase == Phase::Preparing {
        return Some(Decision::Finish(Outcome::Refused { problems: vec![why.to_string()] }));
    }
    Some(stuck(s, why.to_string()))
}

/// An instance that another process started may be well or unwell: until a probe has said so nothing is decided that
/// takes it for either. New instances that serve nobody are not waited for: they count for nothing yet.
fn unjudged(s: &Situation<'_>) -> Option<Decision> {
    let waits = |set: &&super::SetSeen| {
        let old = set.set != s.state.candidate;
        set.instances.iter().any(|i| {
            matches!(i.phase, InstancePhase::Running { .. })
                && !i.judged
                && !i.unknown
                && (old || i.in_rotation || !s.has_router())
        })
    };
    let set = s.sets().iter().find(waits)?;
    let why = WaitReason::Verifying {
        set: set.set.clone(),
        verified: s.tally_of(set).verified,
        wanted: s.tally_of(set).size,
    };
    if s.state.progress_until == STOPPED {
        return Some(s.progress("lost sight of it: the clock runs again", |_| {}));
    }
    if s.now() < s.state.progress_until {
        return Some(s.wait(why));
    }
    Some(stuck(s, format!("no probe could tell whether {} works", set.set)))
}

fn refused(s: &Situation<'_>) -> Option<Decision> {
    let failure = s.seen.refused.as_ref()?;
    let reason = failure.reason.clone();
    Some(match failure.kind {
        CommandKind::Prepare => Decision::Finish(Outcome::Refused { problems: vec![reason] }),
        _ if s.state.is_forward() && s.state.phase != Phase::Retiring => {
            s.turn_back(Cause::CommandFailed { reason })
        }
        _ => stuck(s, reason),
    })
}

fn prepare(s: &Situation<'_>) -> Option<Decision> {
    if s.state.artifact.is_some() || !s.state.is_forward() {
        return None;
    }
    let release = &s.plan.release.id;
    let Some((_, artifact)) = s.seen.prepared.iter().find(|(id, _)| id == release) else {
        let commands = vec![Command::Prepare(release.clone())];
        return Some(Decision::Act { commands, why: "resolve and pull the release".into() });
    };
    if let Some(pinned) = s.plan.pinned.as_ref().filter(|pinned| pinned.digest != artifact.digest) {
        let problem = format!(
            "release {release} was {} when it was live and resolves to {} now; what it was made of has changed: deploy it under a new name",
            pinned.digest, artifact.digest
        );
        return Some(Decision::Finish(Outcome::Refused { problems: vec![problem] }));
    }
    let other =
        |set: &super::SetSeen| set.instances.iter().any(|i| i.exists() && i.digest != artifact.digest);
    if s.set(&s.state.candidate).is_some_and(other) {
        let problem = format!(
            "release {release} already runs with another artifact; a release never changes: choose a new name"
        );
        return Some(Decision::Finish(Outcome::Refused { problems: vec![problem] }));
    }
    Some(s.progress("the release is resolved and pinned", |state| {
        state.artifact = Some(artifact.clone());
        state.phase = Phase::Provisioning;
    }))
}

fn within_deadline(strategy: &dyn Strategy, s: &Situation<'_>) -> Decision {
    let decision = whole_world(s, direct(strategy, s));
    let stopped = s.state.progress_until == STOPPED;
    let waiting_for = match &decision {
        Decision::Pause { .. } if !stopped => {
            return s.advance("a person is waited for", |state| state.progress_until = STOPPED);
        }
        Decision::Wait { .. } | Decision::Act { .. } if stopped => {
            return s.progress("there is something to do again", |_| {});
        }
        Decision::Wait { .. } | Decision::Act { .. } if s.now() < s.state.progress_until => return decision,
        Decision::Wait { why, .. } => why.to_string(),
        Decision::Act { commands, .. } => in_vain(commands),
        _ => return decision,
    };
    let is_repair = s.state.stable.as_ref() == Some(&s.state.candidate);
    if s.state.is_forward() && s.state.phase != Phase::Retiring && !is_repair {
        return s.turn_back(Cause::NoProgress { waiting_for });
    }
    stuck(s, format!("no progress: {waiting_for}"))
}

/// An end is said of the whole world: not while a part of it cannot be looked at, or is still on its way out.
fn whole_world(s: &Situation<'_>, decision: Decision) -> Decision {
    let is_end = matches!(
        decision,
        Decision::Finish(Outcome::Succeeded | Outcome::RolledBack { .. } | Outcome::Aborted { .. })
    );
    if !is_end {
        return decision;
    }
    if let Some(place) = s.seen.unknown_places.first() {
        return s.wait(WaitReason::TargetUnknown { why: format!("{}: {}", place.place, place.why) });
    }
    match s.sets().iter().map(|set| s.tally_of(set).stopping).sum() {
        0 => decision,
        instances => s.wait(WaitReason::Stopping { instances }),
    }
}

fn in_vain(commands: &[Command]) -> String {
    let what: Vec<_> = commands.iter().map(ToString::to_string).collect();
    format!("{}: tried until the progress deadline, without effect", what.join(", "))
}

fn direct(strategy: &dyn Strategy, s: &Situation<'_>) -> Decision {
    if !s.state.is_forward() {
        return rollback::decide(s);
    }
    if s.state.stable.as_ref() == Some(&s.state.candidate) {
        let wanted = Exchange { to: &s.state.candidate, goal: s.replicas(), spare: None };
        return exchange(s, wanted).unwrap_or(Decision::Finish(Outcome::Succeeded));
    }
    strategy.decide(s)
}

fn stuck(s: &Situation<'_>, why: String) -> Decision {
    let left = s.sets().iter().map(|set| {
        let tally = s.tally_of(set);
        format!("set {}: {} instances, {} available", set.set, tally.existing, tally.available)
    });
    Decision::Finish(Outcome::Stuck { why, left: left.collect() })
}
