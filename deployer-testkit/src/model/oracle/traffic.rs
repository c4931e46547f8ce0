//! Who may get requests.

use deployer_core::{
    model::{AttachPoint, GateId, Share, Split},
    strategy::{Command, GateRecord, RolloutState, Verdict},
};

use super::{
    super::{
        effect,
        lab::Lab,
        names::{self, Names},
        slot::{Flags, Life, Slot},
        world::{World, count},
    },
    Broken, capacity,
};

/// Judges a new split.
pub(super) fn shift(
    lab: &mut Lab<'_>,
    world: &World,
    state: &RolloutState,
    split: &Split,
) -> Result<(), Broken> {
    let mut after = *world;
    effect::carry_out(lab, &mut after, &Command::Shift(split.clone()), effect::Reach::Whole)
        .map_err(|what| Broken::new("makes no sense", what))?;
    if matches!(split, Split::Maintenance(_)) {
        let budget = lab.budget(state);
        return if budget.min_available == 0 {
            Ok(())
        } else {
            Err(Broken::new("empty rotation", "the maintenance page, and the budget does not allow that"))
        };
    }
    gates(lab, world, state, split)?;
    for share in split.shares() {
        if share.weight > 0 && share.members.is_empty() {
            let what = format!("{} has weight {} and no member", share.set, share.weight);
            return Err(Broken::new("empty share", what));
        }
        newcomers(lab, world, share)?;
        let set = names::set_number(&share.set).expect("it was carried out");
        weight(lab, world, &after, state, set)?;
        let leftover = set != lab.scenario.candidate && Some(set) != lab.scenario.stable;
        let more = after.split.weight(set) > world.split.weight(set);
        if leftover && more && grows(world, &after, set) {
            return Err(Broken::new("leftovers", format!("{} gets more requests", share.set)));
        }
    }
    if works(world) > 0 && works(&after) == 0 {
        return Err(Broken::new("empty rotation", "no member of the new split answers requests"));
    }
    Ok(())
}

/// Only what is verified gets its first request.
fn newcomers(lab: &Lab<'_>, world: &World, share: &Share) -> Result<(), Broken> {
    for member in &share.members {
        let id = Names::parse(&member.instance);
        let slot =
            world.slots.iter().find(|slot| id == Some((slot.set, slot.id))).expect("it was carried out");
        if slot.is(Flags::IN_SPLIT) && !slot.is(Flags::MOVED) {
            continue;
        }
        let verified = slot.life == Life::Ready
            && slot.ready >= lab.ticks.min_ready
            && !slot.is_any(Flags::WRONG | Flags::UNKNOWN);
        if !verified {
            return Err(Broken::new(
                "verified before traffic",
                format!("{} gets requests, and is {:?}", member.instance, slot.life),
            ));
        }
        if lab.by_address() && member.address != Some(Names::address(slot)) {
            let what = format!("{} gets requests at an address that is not its own", member.instance);
            return Err(Broken::new("verified before traffic", what));
        }
    }
    Ok(())
}

/// A set gets a share of the requests only if it can carry it.
fn weight(lab: &Lab<'_>, world: &World, after: &World, state: &RolloutState, set: u8) -> Result<(), Broken> {
    if !grows(world, after, set) {
        return Ok(());
    }
    let (weight, total) = (u32::from(after.split.weight(set).unwrap_or(0)), after.split.total());
    let needed = (weight * state.replicas).div_ceil(total.max(1));
    let budget = lab.budget(state);
    let spared = state.replicas.saturating_sub(budget.min_available);
    let has = capacity::available_of(lab, after, set);
    // Below the floor there is no better choice than whoever is left.
    if capacity::available(lab, world) < budget.min_available {
        return Ok(());
    }
    if needed > has + spared {
        return Err(Broken::new(
            "weight",
            format!("v{set} gets {weight} of {total} parts with {has} available instances"),
        ));
    }
    Ok(())
}

/// Whether a set gets a larger share than before.
fn grows(world: &World, after: &World, set: u8) -> bool {
    let before_weight = u32::from(world.split.weight(set).unwrap_or(0));
    let weight = u32::from(after.split.weight(set).unwrap_or(0));
    weight * world.split.total().max(1) > before_weight * after.split.total().max(1)
}

fn works(world: &World) -> u32 {
    let works = |slot: &&Slot| slot.works() && world.serves(slot) && !slot.is(Flags::UNKNOWN);
    count(world.slots.iter().filter(works))
}

/// The new set gets its first request when the gates before it have passed.
fn gates(lab: &Lab<'_>, world: &World, state: &RolloutState, split: &Split) -> Result<(), Broken> {
    let candidate = lab.scenario.candidate;
    let first = split.share(&lab.sets[usize::from(candidate)]).is_some_and(|share| !share.members.is_empty())
        && !world.of(candidate).any(|slot| slot.is(Flags::IN_SPLIT));
    if !first || state.promoted_fully || lab.scenario.plan.returning || Some(candidate) == lab.scenario.stable
    {
        return Ok(());
    }
    match waiting(lab, state, &[AttachPoint::BeforeTraffic]) {
        Some(gate) => {
            Err(Broken::new("gates", format!("the new set gets requests and {gate} has not passed")))
        }
        None => Ok(()),
    }
}

/// A gate at one of these points that never passed.
pub(super) fn waiting<'a>(
    lab: &'a Lab<'_>,
    state: &RolloutState,
    points: &[AttachPoint],
) -> Option<&'a GateId> {
    let passed = |gate: &GateId| {
        let pass = |record: &GateRecord| {
            record.gate == *gate && matches!(record.verdict, Some(Verdict::Pass { .. }))
        };
        state.gates.iter().any(pass)
    };
    let bound = lab.scenario.plan.gates.iter().filter(|binding| points.contains(&binding.at));
    bound.map(|binding| &binding.gate).find(|gate| !passed(gate))
}
