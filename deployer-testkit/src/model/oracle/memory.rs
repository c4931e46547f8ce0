//! What a rollout may decide to remember.

use deployer_core::{
    model::Timestamp,
    strategy::{Direction, Phase, RolloutState},
};

use super::{
    super::{
        lab::Lab,
        memos::NOW,
        slot::{Flags, Life},
        view,
        world::World,
    },
    Broken,
};

/// Judges a change of memory.
pub(in super::super) fn advance(
    lab: &Lab<'_>,
    world: &World,
    old: &RolloutState,
    new: &RolloutState,
) -> Result<(), Broken> {
    if new == old {
        return Err(Broken::new("no effect", "an advance that changes nothing"));
    }
    direction(old, new)?;
    timers(old, new)?;
    failures(lab, world, old, new)?;
    gates(lab, world, old, new)?;
    if old.artifact.is_some() && new.artifact != old.artifact {
        return Err(Broken::new("exact identity", "the pinned artifact changes"));
    }
    if new.stable != old.stable || new.candidate != old.candidate {
        return Err(Broken::new("makes no sense", "the sets change"));
    }
    if new.last_request < old.last_request {
        return Err(Broken::new("requests", "a request is taken in twice"));
    }
    Ok(())
}

fn direction(old: &RolloutState, new: &RolloutState) -> Result<(), Broken> {
    match (&old.direction, &new.direction) {
        (Direction::Backward { .. }, Direction::Forward) => {
            Err(Broken::new("one way", "the rollout turns a second time"))
        }
        (Direction::Backward { cause: a }, Direction::Backward { cause: b }) if a != b => {
            Err(Broken::new("one way", "the cause of the rollback changes"))
        }
        (Direction::Forward, Direction::Backward { .. }) if old.phase == Phase::Retiring => {
            Err(Broken::new("one way", "the rollout turns back when the new release is final"))
        }
        _ => Ok(()),
    }
}

/// A timer that was set for the same thing never moves away: else a process that crashes often waits for ever.
fn timers(old: &RolloutState, new: &RolloutState) -> Result<(), Broken> {
    let later = |what: &str| Err(Broken::new("timers", format!("the {what} timer starts anew")));
    for (what, a, b) in [("settle", old.settle, new.settle), ("drain", old.drain, new.drain)] {
        if let (Some(a), Some(b)) = (a, b)
            && a.of == b.of
            && b.until > a.until
            && new.reached <= old.reached
        {
            return later(what);
        }
    }
    let resumed = old.paused_since.is_some() && new.paused_since.is_none();
    if let (Some(a), Some(b)) = (old.bake_until, new.bake_until)
        && b > a
        && a > NOW
        && old.step == new.step
        && old.phase == new.phase
        && !resumed
    {
        return later("bake");
    }
    // While a person is waited for the clock stands still.
    let stopped = new.progress_until == Timestamp::from_millis(u64::MAX);
    if new.progress_until > old.progress_until && !stopped && same_but_progress(old, new) {
        return later("progress");
    }
    Ok(())
}

fn same_but_progress(old: &RolloutState, new: &RolloutState) -> bool {
    let mut moved = old.clone();
    moved.progress_until = new.progress_until;
    moved == *new
}

/// Only what is really broken counts as failed.
fn failures(lab: &Lab<'_>, world: &World, old: &RolloutState, new: &RolloutState) -> Result<(), Broken> {
    for slot in world.slots.iter() {
        let id = lab.names.instance(slot);
        if old.failed.contains(id) || !new.failed.contains(id) {
            continue;
        }
        let late = slot.life == Life::Ready && slot.ready < lab.ticks.min_ready;
        let well = matches!(slot.life, Life::Fresh | Life::Ready | Life::Stopping) && !late;
        let fine = well && !slot.is(Flags::WRONG);
        if fine {
            return Err(Broken::new("failures", format!("{id} counts as failed, and is {:?}", slot.life)));
        }
    }
    Ok(())
}

/// Only what a gate said is remembered as its verdict.
fn gates(lab: &Lab<'_>, world: &World, old: &RolloutState, new: &RolloutState) -> Result<(), Broken> {
    for record in new.gates.iter().filter(|record| record.verdict.is_some() && !old.gates.contains(record)) {
        let bound = lab.scenario.plan.gates.iter().zip(&world.answers);
        let said = bound
            .filter(|(binding, answer)| binding.gate == record.gate && u32::from(answer.step) == record.step)
            .any(|(_, answer)| Some(view::verdict(answer.verdict)) == record.verdict && answer.verdict < 3);
        if !said {
            let what = format!("{} is remembered as {:?}, which it did not say", record.gate, record.verdict);
            return Err(Broken::new("gates", what));
        }
    }
    Ok(())
}
