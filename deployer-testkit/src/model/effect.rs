//! What commands do to a checked world.

use deployer_core::{
    model::{SetSpec, Split},
    strategy::{Command, Observation, RolloutState, Timer},
};

use super::{
    lab::Lab,
    names::{self, Names},
    scenario::Promise,
    slot::{Flags, Life, Slot},
    view,
    world::{Binding, NEVER, REQUESTS, Shape, ShapeKind, World},
};

/// How far a command gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of it.
    Whole,
    /// A change of size stops one instance on the way.
    OneInstance,
}

/// Carries out one command. Gates are answered elsewhere.
///
/// # Errors
/// The command makes no sense: it names what does not exist, or needs more room than the check has.
pub(super) fn carry_out(
    lab: &mut Lab<'_>,
    world: &mut World,
    command: &Command,
    reach: Reach,
) -> Result<(), String> {
    match command {
        Command::Prepare(release) if *release == lab.scenario.plan.release.id => world.prepared = true,
        Command::Prepare(release) => {
            return Err(format!("prepares {release}, which is not what is deployed"));
        }
        Command::Apply(spec) if lab.scenario.promise == Promise::Delegates => {
            let set = names::set_number(&spec.set).ok_or_else(|| format!("there is no set {}", spec.set))?;
            let wanted = Some((set, u8::try_from(spec.replicas).unwrap_or(u8::MAX)));
            (world.accepted, world.becoming) = (wanted, wanted);
        }
        Command::Apply(spec) => resize(world, spec, reach)?,
        Command::Remove(set) => {
            let spec = SetSpec { set: set.clone(), replicas: 0, remove_first: Vec::new() };
            resize(world, &spec, reach)?;
        }
        Command::Shift(split) => shift(lab, world, split)?,
        Command::Evaluate(_) => {}
        other => return Err(format!("the check does not know the command {other}")),
    }
    Ok(())
}

fn resize(world: &mut World, spec: &SetSpec, reach: Reach) -> Result<(), String> {
    let set = names::set_number(&spec.set).ok_or_else(|| format!("there is no set {}", spec.set))?;
    clear_failed(world, set);
    let alive = world.alive(set);
    if spec.replicas > alive {
        let more = if reach == Reach::OneInstance { 1 } else { spec.replicas - alive };
        for _ in 0..more {
            let number = &mut world.next_id[usize::from(set)];
            let slot = Slot::starting(set, *number);
            *number += 1;
            if !world.slots.push(slot) {
                return Err("more instances than the check has room for".to_owned());
            }
        }
        return Ok(());
    }
    let fewer =
        if reach == Reach::OneInstance { 1.min(alive - spec.replicas) } else { alive - spec.replicas };
    for victim in victims(world, set, spec).into_iter().take(fewer as usize) {
        stop(&mut world.slots[victim]);
    }
    Ok(())
}

/// Who goes when a set shrinks: those that are named, then the worst choice a platform could make. What is at an
/// unknown place cannot be told.
pub(super) fn victims(world: &World, set: u8, spec: &SetSpec) -> Vec<usize> {
    let named = |slot: &Slot| spec.remove_first.iter().any(|id| Names::parse(id) == Some((set, slot.id)));
    let reachable = |slot: &Slot| slot.set == set && slot.is_alive() && !slot.is(Flags::UNKNOWN);
    let mut all: Vec<usize> = (0..world.slots.len()).filter(|at| reachable(&world.slots[*at])).collect();
    all.sort_by_key(|at| {
        let slot = &world.slots[*at];
        (!named(slot), !slot.is(Flags::IN_SPLIT), !slot.is(Flags::LINGERING), !slot.works())
    });
    all
}

/// Tells an instance to stop.
pub(super) fn stop(slot: &mut Slot) {
    slot.life = Life::Stopping;
    slot.born = NEVER;
    slot.ready = 0;
}

/// Forgets instances that ended.
pub(super) fn clear_failed(world: &mut World, set: u8) {
    for slot in world.slots.iter_mut().filter(|slot| slot.set == set && slot.life == Life::Failed) {
        slot.life = Life::Gone;
        slot.set_flags(Flags::UNKNOWN | Flags::HIDDEN, false);
    }
}

fn shift(lab: &mut Lab<'_>, world: &mut World, split: &Split) -> Result<(), String> {
    let shape = shape(lab, split)?;
    let mut chosen = [false; super::slot::MOST];
    for share in split.shares() {
        for member in &share.members {
            let id = Names::parse(&member.instance);
            let found = world.slots.iter().position(|slot| id == Some((slot.set, slot.id)));
            let at = found.ok_or_else(|| format!("{} does not exist", member.instance))?;
            if lab.names.instance(&world.slots[at]) != &member.instance {
                return Err(format!("{} does not exist", member.instance));
            }
            chosen[at] = true;
        }
    }
    let same = shape == world.split
        && world.slots.iter().zip(&chosen).all(|(slot, chosen)| slot.is(Flags::IN_SPLIT) == *chosen)
        && !world.slots.iter().any(|slot| slot.is(Flags::MOVED));
    if same {
        return Ok(());
    }
    let (counts, routed) = (lab.counts(), lab.routed());
    for (slot, chosen) in world.slots.iter_mut().zip(&chosen) {
        let left = slot.is(Flags::IN_SPLIT) && !chosen;
        slot.set_flags(Flags::IN_SPLIT, *chosen);
        slot.set_flags(Flags::MOVED, false);
        if *chosen {
            slot.set_flags(Flags::BUSY | Flags::LINGERING, false);
        } else if left && slot.exists() && routed {
            slot.left = 0;
            slot.set_flags(Flags::LINGERING, true);
            slot.set_flags(Flags::BUSY, counts);
        }
    }
    world.split = shape;
    world.pending = lab.proves();
    world.full = match (carries_all(world, lab.scenario.candidate), world.full) {
        (true, NEVER) => 0,
        (true, age) => age,
        (false, _) => NEVER,
    };
    Ok(())
}

/// Whether all requests go to this set.
pub(super) fn carries_all(world: &World, set: u8) -> bool {
    world.split.total() > 0
        && world.split.shares().iter().all(|(other, weight)| *other == set || *weight == 0)
}

/// A split without its members.
///
/// # Errors
/// It has a set that does not exist, or one set twice.
pub(super) fn shape(lab: &mut Lab<'_>, split: &Split) -> Result<Shape, String> {
    let mut shape = Shape::default();
    match split {
        Split::Maintenance(page) => {
            shape.kind = ShapeKind::Maintenance;
            shape.extra = lab.memos.page(page);
        }
        Split::Serve { shares, routes } => {
            shape.extra = lab.memos.routes(routes);
            for share in shares {
                let set =
                    names::set_number(&share.set).ok_or_else(|| format!("there is no set {}", share.set))?;
                let weight = u16::try_from(share.weight).map_err(|_| "a weight above 65535".to_owned())?;
                if shape.weight(set).is_some() {
                    return Err(format!("set {} has two shares", share.set));
                }
                if !share.members.is_sorted_by(|a, b| a.instance < b.instance) {
                    return Err(format!("members of {} are not sorted", share.set));
                }
                shape.shares[usize::from(shape.len)] = (set, weight);
                shape.len += 1;
            }
        }
    }
    Ok(shape)
}

/// The same world with a new memory.
pub(super) fn remember(lab: &mut Lab<'_>, world: &World, mut state: RolloutState) -> World {
    let mut next = *world;
    for slot in next.slots.iter_mut() {
        let counted = state.failed.contains(lab.names.instance(slot));
        slot.set_flags(Flags::COUNTED, counted);
    }
    let gone = state.failed.iter().filter(|id| Names::is_gone(id)).count();
    next.failed_gone = u8::try_from(gone).expect("at most as many as before");
    next.settle = binding(lab, world, &mut next, &mut state.settle, Flags::OF_SETTLE);
    next.drain = binding(lab, world, &mut next, &mut state.drain, Flags::OF_DRAIN);
    let taken = usize::try_from(state.last_request).unwrap_or(REQUESTS).min(REQUESTS);
    next.requests.rotate_left(taken);
    next.requests[REQUESTS - taken..].fill(0);
    state.last_request = 0;
    state.failed.clear();
    next.refused = 0;
    next.memo = lab.memos.number(state);
    next
}

/// Which split a timer was set for, told by its fingerprint.
fn binding(
    lab: &Lab<'_>,
    before: &World,
    next: &mut World,
    timer: &mut Option<Timer>,
    members: Flags,
) -> Binding {
    let Some(timer) = timer else {
        return Binding::None;
    };
    let of = std::mem::take(&mut timer.of);
    let known = [
        (Binding::Split(before.split), Flags::IN_SPLIT),
        (before.settle, Flags::OF_SETTLE),
        (before.drain, Flags::OF_DRAIN),
    ];
    for (binding, flags) in known {
        let Binding::Split(shape) = binding else {
            continue;
        };
        if Observation::fingerprint_of(&view::split(lab, before, shape, flags)) == of {
            for (slot, old) in next.slots.iter_mut().zip(before.slots.iter()) {
                slot.set_flags(members, old.is(flags));
            }
            return binding;
        }
    }
    Binding::Other(of)
}
