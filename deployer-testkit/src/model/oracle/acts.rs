//! Commands: each is judged by itself against the world before it, then what every subset of them leaves behind.

use deployer_core::{
    model::SetSpec,
    strategy::{Command, Phase, RolloutState},
};

use super::{
    super::{
        effect, expand,
        lab::Lab,
        names,
        scenario::Promise,
        slot::{Flags, Life, Slot},
        world::World,
    },
    Broken, capacity, traffic,
};

/// Judges all commands of one decision.
pub(in super::super) fn act(
    lab: &mut Lab<'_>,
    world: &World,
    state: &RolloutState,
    commands: &[Command],
) -> Result<(), Broken> {
    if commands.is_empty() {
        return Err(Broken::new("no effect", "an act without commands"));
    }
    for command in commands {
        known_only(world, command)?;
        one_way(lab, world, state, command)?;
        match command {
            Command::Apply(spec) => resize(lab, world, state, spec)?,
            Command::Remove(set) => {
                let spec = SetSpec { set: set.clone(), replicas: 0, remove_first: Vec::new() };
                resize(lab, world, state, &spec)?;
            }
            Command::Shift(split) => traffic::shift(lab, world, state, split)?,
            _ => {}
        }
    }
    let all = u8::try_from((1_u32 << commands.len().min(8)) - 1).expect("at most 8 bits");
    for mask in 1..=all {
        let after = expand::subset(lab, world, commands, mask, None)
            .map_err(|what| Broken::new("makes no sense", what))?;
        capacity::after(lab, world, &after, state)?;
    }
    Ok(())
}

/// What could not be looked at is never acted upon as if it were empty.
fn known_only(world: &World, command: &Command) -> Result<(), Broken> {
    let changes = matches!(command, Command::Apply(_) | Command::Remove(_) | Command::Shift(_));
    if changes && world.target_unknown {
        return Err(Broken::new(
            "unknown is not zero",
            format!("{command}, and the target cannot be looked at"),
        ));
    }
    if changes && world.router_unknown {
        return Err(Broken::new("unknown is not zero", format!("{command}, and the router cannot be asked")));
    }
    Ok(())
}

/// After it turned back a rollout only takes from the new set.
fn one_way(lab: &Lab<'_>, world: &World, state: &RolloutState, command: &Command) -> Result<(), Broken> {
    if state.is_forward() {
        return Ok(());
    }
    let candidate = lab.scenario.candidate;
    let forward = match command {
        Command::Prepare(_) | Command::Evaluate(_) => true,
        Command::Apply(spec) => {
            names::set_number(&spec.set) == Some(candidate) && spec.replicas > world.alive(candidate)
        }
        Command::Shift(split) => {
            let share = split.share(&lab.sets[usize::from(candidate)]);
            let (weight, members) = share.map_or((0, 0), |share| (share.weight, share.members.len()));
            let before = u32::from(world.split.weight(candidate).unwrap_or(0));
            let total = u64::from(world.split.total());
            let more_weight =
                u64::from(weight) * total.max(1) > u64::from(before) * split.total_weight().max(1);
            let now = world.of(candidate).filter(|slot| slot.is(Flags::IN_SPLIT)).count();
            // When an old instance dies the share of the others grows without our doing.
            weight > 0 && ((more_weight && weight > before) || members > now)
        }
        _ => false,
    };
    if forward {
        return Err(Broken::new("one way", format!("{command}, after the rollout turned back")));
    }
    Ok(())
}

fn resize(lab: &Lab<'_>, world: &World, state: &RolloutState, spec: &SetSpec) -> Result<(), Broken> {
    let set = names::set_number(&spec.set)
        .ok_or_else(|| Broken::new("makes no sense", format!("there is no set {}", spec.set)))?;
    let alive = world.alive(set);
    let leftover = set != lab.scenario.candidate && Some(set) != lab.scenario.stable;
    if leftover && spec.replicas > alive {
        return Err(Broken::new("leftovers", format!("{} grows, and it is neither old nor new", spec.set)));
    }
    if spec.replicas >= alive || lab.scenario.promise == Promise::Delegates {
        return Ok(());
    }
    keep_old(lab, world, state, set, spec)?;
    let fewer = (alive - spec.replicas) as usize;
    for victim in effect::victims(world, set, spec).into_iter().take(fewer) {
        traffic_before_life(lab, &world.slots[victim])?;
    }
    Ok(())
}

/// The old set stays whole until the new one is final, where that is promised.
fn keep_old(
    lab: &Lab<'_>,
    world: &World,
    state: &RolloutState,
    set: u8,
    spec: &SetSpec,
) -> Result<(), Broken> {
    let Promise::KeepsOld { bake } = lab.scenario.promise else {
        return keep_some(lab, world, state, set, spec);
    };
    if Some(set) != lab.scenario.stable || set == lab.scenario.candidate || spec.replicas >= state.replicas {
        return Ok(());
    }
    let final_now = state.is_forward() && state.phase == Phase::Retiring;
    if !final_now {
        return Err(Broken::new(
            "keep old",
            format!("{} shrinks to {} before the new set is final", spec.set, spec.replicas),
        ));
    }
    let skipped = state.promoted.is_some() || state.promoted_fully || lab.scenario.plan.returning;
    if world.full == super::super::world::NEVER || (world.full < bake && !skipped) {
        return Err(Broken::new("keep old", format!("{} shrinks before the bake time has passed", spec.set)));
    }
    Ok(())
}

/// Where the old set makes room for the new one, it does so for verified replacements only.
fn keep_some(
    lab: &Lab<'_>,
    world: &World,
    state: &RolloutState,
    set: u8,
    spec: &SetSpec,
) -> Result<(), Broken> {
    let is_old = Some(set) == lab.scenario.stable && set != lab.scenario.candidate;
    if lab.scenario.promise != Promise::Capacity || !is_old || !state.is_forward() {
        return Ok(());
    }
    // Who does not work has nothing to leave to anybody.
    let fewer = (world.alive(set) - spec.replicas.min(world.alive(set))) as usize;
    let mut victims = effect::victims(world, set, spec).into_iter().take(fewer);
    if !victims.any(|victim| world.slots[victim].works()) {
        return Ok(());
    }
    // Who left before a request for more replicas has left already.
    let replicas = state.replicas.min(lab.scenario.plan.replicas);
    let floor = lab.scenario.strategy.budget(replicas, &lab.scenario.plan.target).min_available;
    let replaced = capacity::available_of(lab, world, lab.scenario.candidate);
    if spec.replicas + replaced < floor && spec.replicas < world.alive(set) {
        let kept = spec.replicas;
        let what = format!("{kept} of {} stay with {replaced} replacements in rotation", spec.set);
        return Err(Broken::new("keep old", what));
    }
    Ok(())
}

/// Out of rotation, proven or settled, drained or long enough: only then may an instance be stopped.
fn traffic_before_life(lab: &Lab<'_>, slot: &Slot) -> Result<(), Broken> {
    let broken = |what: &str| {
        let id = lab.names.instance(slot);
        Err(Broken::new("traffic before life", format!("{id} is stopped {what}")))
    };
    if !lab.routed() || slot.life == Life::Starting && !slot.is(Flags::IN_SPLIT) {
        return Ok(());
    }
    if slot.is(Flags::IN_SPLIT) && !slot.is(Flags::MOVED) {
        return broken("while it is in rotation");
    }
    if slot.is(Flags::LINGERING) {
        return broken("before the data plane follows the split that it is not in");
    }
    if slot.is(Flags::BUSY) && slot.left < lab.ticks.drain {
        return broken("while it answers requests and the drain time has not passed");
    }
    Ok(())
}
