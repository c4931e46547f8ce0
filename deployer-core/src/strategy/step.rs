//! One step of a rollout: what every strategy shares, then the strategy's own decision.

use super::{
    Budget, Cause, Command, CommandKind, Decision, Observation, Outcome, PauseReason, Phase, Plan,
    RolloutState, Seen, Situation, Strategy, WaitReason,
    exchange::{Exchange, exchange},
    failure, request, rollback,
};

/// Decides what to do next. Used by driver, preview and checker alike.
///
/// In this order: requests, failures, pause, what could not be looked at, deadlines, preparation; then the way back,
/// or the strategy's own decision.
pub fn step(strategy: &dyn Strategy, plan: &Plan, state: &RolloutState, seen: &Observation) -> Decision {
    let budget = Budget::of(strategy, plan, state);
    let situation = Situation::new(plan, state, seen, budget);
    shared(&situation).unwrap_or_else(|| within_deadline(strategy, &situation))
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
    unseen(s).or_else(|| refused(s)).or_else(|| prepare(s))
}

/// Nothing is decided on what could not be looked at. Never blind: after the deadline a person has to look.
fn unseen(s: &Situation<'_>) -> Option<Decision> {
    let why = match (&s.seen.sets, &s.seen.traffic) {
        (Seen::Unknown { why }, _) => WaitReason::TargetUnknown { why: why.clone() },
        (_, Some(Seen::Unknown { why })) => WaitReason::RouterUnknown { why: why.clone() },
        _ => return None,
    };
    if s.now() < s.state.progress_until {
        return Some(s.wait(why));
    }
    if s.state.phase == Phase::Preparing {
        return Some(Decision::Finish(Outcome::Refused { problems: vec![why.to_string()] }));
    }
    Some(stuck(s, why.to_string()))
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
    let decision = direct(strategy, s);
    let Decision::Wait { why, .. } = &decision else { return decision };
    if s.now() < s.state.progress_until {
        return decision;
    }
    let waiting_for = why.to_string();
    let is_repair = s.state.stable.as_ref() == Some(&s.state.candidate);
    if s.state.is_forward() && s.state.phase != Phase::Retiring && !is_repair {
        return s.turn_back(Cause::NoProgress { waiting_for });
    }
    stuck(s, format!("no progress: {waiting_for}"))
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
