//! What may be written down.

use deployer_core::{
    event::{Event, EventKind},
    model::Split,
    strategy::{Command, Direction, Phase, RolloutState},
};

use super::super::{
    record::{Facts, Record},
    witness::Witness,
};

/// Judges a record that became durable, and remembers what it says.
pub(in super::super) fn event(record: &mut Record, witness: &Witness, event: &Event) {
    record.line(|| format!("process {} writes {} {}", witness.process, event.deployment, told(event)));
    if let EventKind::DeploymentStarted { .. } = &event.kind {
        let facts = Facts {
            began: event.at,
            step: witness.step,
            epoch: event.epoch,
            plan: None,
            state: None,
            replicas: (u32::MAX, 0),
            intents: std::collections::BTreeMap::new(),
            shifted: false,
            full_since: None,
            outcome: None,
        };
        record.facts.insert(event.deployment.clone(), facts);
        return;
    }
    if let Err((oracle, what)) = judge(record, witness, event) {
        record.broken(oracle, what);
    }
    let told = record.sights[witness.process].split.as_ref();
    if let Some(facts) = record.facts.get_mut(&event.deployment) {
        remember(facts, event);
        // One that takes the place of another of the same release can find that all is done that it would have to do.
        if let (false, None, Some(split)) = (facts.shifted, facts.full_since, told) {
            facts.full_since = is_full(facts, split).then_some(event.at);
        }
    }
}

type Verdict = Result<(), (&'static str, String)>;

fn judge(record: &Record, witness: &Witness, event: &Event) -> Verdict {
    let Some(facts) = record.facts.get(&event.deployment) else {
        return Err(("audit", format!("record {} of a deployment that never began", event.seq)));
    };
    if event.epoch < facts.epoch {
        let what = format!("record {} has epoch {} after {}", event.seq, event.epoch, facts.epoch);
        return Err(("single writer", what));
    }
    if facts.outcome.is_some() {
        return Err(("end states", format!("record {} follows the end", event.seq)));
    }
    match &event.kind {
        EventKind::Advanced { state, .. } => match &facts.state {
            Some(before) => advanced(before, state),
            None => Err(("audit", "a rollout goes on that never began".to_owned())),
        },
        EventKind::Intent { commands, .. } => seen(record, witness, commands),
        EventKind::DeploymentFinished { outcome } => match outcome {
            deployer_core::strategy::Outcome::Stuck { why, .. } if is_a_bug(why) => {
                Err(("end states", format!("the engine stopped itself: {why}")))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What no world and no person can be the reason of.
fn is_a_bug(why: &str) -> bool {
    ["invariant ", "the strategy panicked", "the strategy remembers"].iter().any(|bug| why.starts_with(bug))
}

/// One way, and nothing that is pinned changes.
fn advanced(before: &RolloutState, after: &RolloutState) -> Verdict {
    match (&before.direction, &after.direction) {
        (Direction::Backward { .. }, Direction::Forward) => {
            return Err(("one way", "the rollout turns a second time".to_owned()));
        }
        (Direction::Backward { cause: a }, Direction::Backward { cause: b }) if a != b => {
            return Err(("one way", format!("the cause changes from {a} to {b}")));
        }
        (Direction::Forward, Direction::Backward { cause }) if before.phase == Phase::Retiring => {
            return Err(("one way", format!("it turns back when the new release is final: {cause}")));
        }
        _ => {}
    }
    if before.artifact.is_some() && before.artifact != after.artifact {
        return Err(("exact identity", "the pinned artifact changes".to_owned()));
    }
    if (&before.candidate, &before.stable) != (&after.candidate, &after.stable) {
        return Err(("exact identity", "the sets change".to_owned()));
    }
    if after.last_request < before.last_request {
        return Err(("end states", "a request is taken in twice".to_owned()));
    }
    Ok(())
}

/// Nothing is done to a world that was not looked at since something was done to it.
fn seen(record: &Record, witness: &Witness, commands: &[Command]) -> Verdict {
    let touches = |command: &Command| !matches!(command, Command::Prepare(_) | Command::Evaluate(_));
    if !commands.iter().any(touches) {
        return Ok(());
    }
    let sight = &record.sights[witness.process];
    let routed = witness.scenario.world.routed;
    if !sight.target || (routed && !sight.router) {
        return Err(("unknown is a value", "an action follows a look that failed".to_owned()));
    }
    if sight.acted {
        return Err(("unknown is a value", "an action follows an action without a look between".to_owned()));
    }
    Ok(())
}

fn remember(facts: &mut Facts, event: &Event) {
    facts.epoch = event.epoch.max(facts.epoch);
    match &event.kind {
        EventKind::RolloutStarted { plan, state, .. } => {
            facts.plan = Some((**plan).clone());
            replicas(facts, state);
        }
        EventKind::Advanced { state, .. } => replicas(facts, state),
        EventKind::Intent { commands, .. } => {
            for command in commands {
                if let Command::Shift(split) = command {
                    let full = is_full(facts, split);
                    facts.shifted = true;
                    facts.full_since = full.then(|| facts.full_since.unwrap_or(event.at));
                }
            }
            facts.intents.insert(event.epoch, commands.clone());
        }
        EventKind::DeploymentFinished { outcome } => facts.outcome = Some(outcome.clone()),
        _ => {}
    }
}

/// Whether nobody but the new set is sent requests.
fn is_full(facts: &Facts, split: &Split) -> bool {
    let candidate = facts.state.as_ref().map(|state| &state.candidate);
    matches!(split, Split::Serve { shares, .. }
        if !shares.is_empty() && shares.iter().all(|share| Some(&share.set) == candidate))
}

fn replicas(facts: &mut Facts, state: &RolloutState) {
    let (least, most) = facts.replicas;
    facts.replicas = (least.min(state.replicas), most.max(state.replicas));
    facts.state = Some(state.clone());
}

/// An event in one line, with what it is about.
fn told(event: &Event) -> String {
    let line = deployer_core::event::line(event);
    match &event.kind {
        EventKind::Advanced { state, .. } => {
            format!("{}: {line} [{:?} step {} reached {}]", event.seq, state.phase, state.step, state.reached)
        }
        _ => format!("{}: {line}", event.seq),
    }
}
