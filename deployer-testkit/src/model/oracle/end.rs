//! What must be true at the end.

use deployer_core::{
    model::AttachPoint,
    strategy::{Direction, Outcome, RolloutState},
};

use super::{
    super::{
        effect,
        lab::Lab,
        slot::{Flags, Life, Slot},
        world::{World, count},
    },
    Broken,
};

/// Judges an end.
pub(in super::super) fn finish(
    lab: &Lab<'_>,
    world: &World,
    state: &RolloutState,
    outcome: &Outcome,
) -> Result<(), Broken> {
    let broken = |what: String| Err(Broken::new("end state", format!("{outcome:?}: {what}")));
    let forward = state.direction == Direction::Forward;
    let kept = match outcome {
        Outcome::Succeeded if forward => Some(lab.scenario.candidate),
        Outcome::Succeeded if lab.scenario.removes => None,
        Outcome::RolledBack { .. } | Outcome::Aborted { .. } if !forward && !lab.scenario.removes => {
            lab.scenario.stable
        }
        Outcome::Succeeded | Outcome::RolledBack { .. } | Outcome::Aborted { .. } => {
            return broken("the direction is the other one".to_owned());
        }
        Outcome::Refused { .. }
            if world.alive(lab.scenario.candidate) > 0 && lab.starts_without_candidate() =>
        {
            return broken("instances of the new release exist".to_owned());
        }
        _ => return Ok(()),
    };
    let points = [AttachPoint::BeforeTraffic, AttachPoint::FullTraffic, AttachPoint::Bake];
    let skipped = state.promoted_fully || lab.scenario.plan.returning || lab.scenario.stable == kept;
    if forward
        && !skipped
        && let Some(gate) = super::traffic::waiting(lab, state, &points)
    {
        return broken(format!("{gate} never passed"));
    }
    if world.target_unknown || world.router_unknown {
        return broken("the world cannot be looked at".to_owned());
    }
    if let Some(slot) = world.slots.iter().find(|slot| slot.is(Flags::UNKNOWN)) {
        return broken(format!("the place of {} cannot be looked at", lab.names.instance(slot)));
    }
    let other = |slot: &&Slot| Some(slot.set) != kept && slot.life != Life::Gone;
    if let Some(slot) = world.slots.iter().find(other) {
        return broken(format!("{} is still there", lab.names.instance(slot)));
    }
    if world.becoming.is_some_and(|(set, _)| Some(set) != kept) {
        return broken("the platform was told to become another release".to_owned());
    }
    if kept.is_none() && world.slots.iter().any(|slot| slot.is(Flags::IN_SPLIT)) {
        return broken("the split still has members".to_owned());
    }
    if let Some(set) = kept {
        whole(lab, world, state, set).or_else(broken)?;
    }
    Ok(())
}

fn whole(lab: &Lab<'_>, world: &World, state: &RolloutState, set: u8) -> Result<(), String> {
    let serving = |slot: &&Slot| {
        slot.works()
            && slot.life == Life::Ready
            && slot.ready >= lab.ticks.min_ready
            && (!lab.routed() || world.serves(slot))
    };
    let (has, alive) = (count(world.of(set).filter(serving)), world.alive(set));
    if has != state.replicas || alive != state.replicas {
        return Err(format!("{has} of {alive} instances serve, {} should", state.replicas));
    }
    if lab.routed() && !effect::carries_all(world, set) {
        return Err("other sets have weight".to_owned());
    }
    if world.slots.iter().any(|slot| slot.set != set && slot.is(Flags::IN_SPLIT)) {
        return Err("members of other sets are in the split".to_owned());
    }
    Ok(())
}
