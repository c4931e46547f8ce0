//! What may be done to the world.

use deployer_core::{
    model::{PinnedRelease, SetId, SetSpec, Split},
    ports::CallContext,
    strategy::{Command, Phase, Plan, RolloutState, StrategySettings},
};

use super::{
    super::{
        record::{Facts, Record},
        witness::Witness,
    },
    budget::{budget, keeps_old},
};

/// Judges a call that is about to change the world.
pub(in super::super) fn write(
    record: &mut Record,
    witness: &Witness,
    context: &CallContext,
    command: &Command,
    release: Option<&PinnedRelease>,
) {
    let (newest, since) = record.newest;
    let engine = &witness.scenario.engine;
    let late = record.now().since(since) > engine.retry.total + engine.call_deadline * 2;
    let verdict = match record.facts.get(&context.deployment) {
        // A call of before may be under way still; a new one may not.
        _ if context.epoch < newest && late => {
            let what = format!("{command} with epoch {} after {newest} was given", context.epoch);
            Err(("single writer", what))
        }
        None => Err(("intent before effect", format!("{command} of a deployment that never began"))),
        Some(_) if shows_epoch(record, witness, command) => Ok(()),
        Some(facts) => intended(facts, context, command)
            .and_then(|()| pinned(facts, release))
            .and_then(|()| one_way(record, facts, witness, command))
            .and_then(|()| old_kept(record, facts, witness, command))
            .and_then(|()| carries(record, facts, witness, command)),
    };
    if let Err((oracle, what)) = verdict {
        record.broken(oracle, what);
    }
}

type Verdict = Result<(), (&'static str, String)>;

/// Who takes over shows its right to write to the world, by calls that change nothing.
fn shows_epoch(record: &Record, witness: &Witness, command: &Command) -> bool {
    witness.takes_over
        && match command {
            Command::Remove(set) => {
                witness.world.census(&witness.world_workload()).iter().all(|known| known.set != *set)
            }
            Command::Shift(split) => record.sights[witness.process].split.as_ref() == Some(split),
            _ => false,
        }
}

/// Intent before effect: the last durable intent of this very writer has this very command.
fn intended(facts: &Facts, context: &CallContext, command: &Command) -> Verdict {
    if facts.intents.get(&context.epoch).is_some_and(|commands| commands.contains(command)) {
        return Ok(());
    }
    Err((
        "intent before effect",
        format!("{command} with epoch {}: no durable intent says so", context.epoch),
    ))
}

/// What is started is what was pinned.
fn pinned(facts: &Facts, release: Option<&PinnedRelease>) -> Verdict {
    let (Some(release), Some(state), Some(plan)) = (release, &facts.state, &facts.plan) else {
        return Ok(());
    };
    let set = SetId::from(&release.release.id);
    let expected = if set == state.candidate {
        state.artifact.as_ref()
    } else {
        plan.stable
            .as_ref()
            .filter(|stable| SetId::from(&stable.release.id) == set)
            .map(|stable| &stable.artifact)
    };
    match expected {
        Some(artifact) if *artifact != release.artifact => {
            let what = format!("{set} is to run {}, pinned is {}", release.artifact.digest, artifact.digest);
            Err(("exact identity", what))
        }
        None if set == state.candidate => Err(("exact identity", format!("{set} is not pinned yet"))),
        _ => Ok(()),
    }
}

/// On the way back the new set neither grows nor gets a larger share.
fn one_way(record: &Record, facts: &Facts, witness: &Witness, command: &Command) -> Verdict {
    let Some(state) = facts.state.as_ref().filter(|state| !state.is_forward()) else { return Ok(()) };
    if state.stable.as_ref() == Some(&state.candidate) {
        return Ok(());
    }
    match command {
        Command::Apply(spec) if spec.set == state.candidate => {
            let live = of_set(witness, &spec.set);
            let doubtful = doubtful(record, witness);
            if spec.replicas > live + doubtful {
                let what = format!("the new set {} grows from {live} to {}", spec.set, spec.replicas);
                return Err(("one way", what));
            }
            Ok(())
        }
        Command::Shift(split) => {
            let before = record.sights[witness.process].split.as_ref();
            let (weight, total) = share(split, &state.candidate);
            let (weight_before, total_before) = before.map_or((0, 0), |split| share(split, &state.candidate));
            // Under maintenance nobody had anything.
            if weight > 0 && total_before > 0 && weight * total_before > weight_before * total {
                // By members the share can grow while members leave: unwell old ones are taken out.
                let members = |split: &Split| split.share(&state.candidate).map_or(0, |s| s.members.len());
                let grows = members(split) > before.map_or(0, members);
                let by_members = matches!(strategy(witness, facts), StrategySettings::Rolling(_));
                if grows || !by_members {
                    let what = format!(
                        "the new set gets {weight} of {total}, had {weight_before} of {total_before}"
                    );
                    return Err(("one way", what));
                }
            }
            Ok(())
        }
        Command::Remove(set) if Some(set) == state.stable.as_ref() => {
            Err(("one way", format!("the old set {set} is removed on the way back to it")))
        }
        _ => Ok(()),
    }
}

/// The old set stays whole until the bake time is over.
fn old_kept(record: &Record, facts: &Facts, witness: &Witness, command: &Command) -> Verdict {
    let (Some(state), Some(plan)) = (&facts.state, &facts.plan) else { return Ok(()) };
    let strategy = strategy(witness, facts);
    let Some(stable) = state.stable.as_ref().filter(|stable| **stable != state.candidate) else {
        return Ok(());
    };
    let live = of_set(witness, stable);
    // A rollout before, given up half-way, can have left it smaller: it is made whole bit by bit, which takes nothing.
    let shrinks = match command {
        Command::Apply(SetSpec { set, replicas, .. }) => {
            let known = live.saturating_sub(doubtful(record, witness));
            set == stable && *replicas < state.replicas.min(known)
        }
        Command::Remove(set) => set == stable,
        _ => false,
    };
    if !shrinks || !state.is_forward() || !keeps_old(strategy) || live == 0 {
        return Ok(());
    }
    if state.phase != Phase::Retiring {
        return Err(("keep old", format!("{command} before the new set is final")));
    }
    let bake = match strategy {
        StrategySettings::BlueGreen(settings) => settings.bake,
        StrategySettings::Canary(settings) => settings.bake,
        _ => return Ok(()),
    };
    let skipped = skips_bake(plan, state);
    let watched = facts.full_since.map(|since| record.now().since(since));
    if !skipped && watched.is_none_or(|watched| watched < bake) {
        return Err(("keep old", format!("{command} {watched:?} after full traffic, bake time is {bake:?}")));
    }
    Ok(())
}

fn skips_bake(plan: &Plan, state: &RolloutState) -> bool {
    plan.returning || state.promoted_fully || state.promoted.is_some()
}

/// A set gets no more traffic than its instances can carry.
fn carries(record: &Record, facts: &Facts, witness: &Witness, command: &Command) -> Verdict {
    let (Command::Shift(split), Some(state)) = (command, &facts.state) else { return Ok(()) };
    let (floor, _) = budget(strategy(witness, facts), state.replicas);
    if floor == 0 {
        return Ok(());
    }
    let before = record.sights[witness.process].split.as_ref();
    let working = witness.world.working(&witness.world_workload());
    // Where fewer serve than have to, those that can carry what there is.
    let serving = witness.world.in_rotation(&witness.world_workload());
    let serving = serving.iter().filter(|instance| working.contains(*instance)).count();
    if serving < floor as usize {
        return Ok(());
    }
    let spare = u64::from(state.replicas - floor) + u64::from(doubtful(record, witness));
    for one in split.shares() {
        let (weight, total) = share(split, &one.set);
        let (weight_before, total_before) = before.map_or((0, 0), |split| share(split, &one.set));
        if weight == 0 || (total_before > 0 && weight * total_before <= weight_before * total) {
            continue;
        }
        let needed = (weight * u64::from(state.replicas)).div_ceil(total);
        let well = one.members.iter().filter(|member| working.contains(&member.instance)).count() as u64;
        if needed > well + spare {
            let what = format!("{weight} of {total} parts need {needed} of {}, {well} work", one.set);
            return Err(("traffic before life", what));
        }
    }
    Ok(())
}

fn share(split: &Split, set: &SetId) -> (u64, u64) {
    (split.share(set).map_or(0, |share| u64::from(share.weight)), split.total_weight())
}

fn strategy<'a>(witness: &'a Witness, facts: &Facts) -> &'a StrategySettings {
    &witness.scenario.steps[facts.step].strategy
}

fn of_set(witness: &Witness, set: &SetId) -> u32 {
    let prefix = format!("{set}-");
    let live = witness.world.live(&witness.world_workload());
    let count = live.iter().filter(|(id, _)| id.as_str().starts_with(&prefix)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn doubtful(record: &Record, witness: &Witness) -> u32 {
    let window = witness.scenario.doubt();
    let since = deployer_core::model::Timestamp::from_millis(
        record.now().as_millis().saturating_sub(u64::try_from(window.as_millis()).unwrap_or(u64::MAX)),
    );
    u32::try_from(witness.world.doubtful(since).len()).unwrap_or(u32::MAX)
}
