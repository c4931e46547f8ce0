//! How many instances serve and exist.

use deployer_core::strategy::RolloutState;

use super::{
    super::{
        lab::Lab,
        slot::{Flags, Life, Slot},
        world::{World, count},
    },
    Broken,
};

/// Judges the numbers that an act leaves behind.
pub(super) fn after(
    lab: &Lab<'_>,
    before: &World,
    after: &World,
    state: &RolloutState,
) -> Result<(), Broken> {
    let budget = lab.budget(state);
    let (had, has) = (available(lab, before), available(lab, after));
    if has < budget.min_available.min(had) {
        let floor = budget.min_available;
        return Err(Broken::new("capacity", format!("{has} of {had} stay available, at least {floor} must")));
    }
    let (had, has) = (before.total(), after.total());
    if has > budget.max_total.max(had) {
        let ceiling = budget.max_total;
        return Err(Broken::new(
            "capacity",
            format!("{had} instances become {has}, at most {ceiling} may exist"),
        ));
    }
    Ok(())
}

/// Instances of all sets that are verified and get requests; without a router, that are verified.
pub(super) fn available(lab: &Lab<'_>, world: &World) -> u32 {
    count(world.slots.iter().filter(|slot| is_available(lab, world, slot)))
}

/// Available instances of one set.
pub(super) fn available_of(lab: &Lab<'_>, world: &World, set: u8) -> u32 {
    count(world.of(set).filter(|slot| is_available(lab, world, slot)))
}

fn is_available(lab: &Lab<'_>, world: &World, slot: &Slot) -> bool {
    let verified = match slot.life {
        Life::Ready => slot.ready >= lab.ticks.min_ready || slot.is(Flags::IN_SPLIT),
        Life::Fresh => true,
        _ => false,
    };
    verified && slot.works() && !slot.is(Flags::UNKNOWN) && (!lab.routed() || world.serves(slot))
}
