//! What the world may do by itself, whatever the rollout decides.

use super::{
    effect::{clear_failed, stop},
    event::{Class, Event},
    lab::Lab,
    memos::{NOW, ticks_until},
    scenario::{Detail, Promise},
    slot::{Flags, Life, Slot},
    world::{Binding, NEVER, World, count},
};

/// Takes an event and what it does to a world.
type Add<'a> = dyn FnMut(Event, &dyn Fn(&mut World)) + 'a;

/// What of the budgets is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) fault: bool,
    pub(super) crash: bool,
}

/// Everything that can happen to instances, router and target.
pub(super) fn happenings(lab: &Lab<'_>, world: &World, left: Left, out: &mut Vec<(Event, World)>) {
    let mut add = |event: Event, change: &dyn Fn(&mut World)| {
        let counts = lab.scenario.detail == Detail::Fine || event.is_core();
        if event.class() != Class::Fault || (left.fault && counts) {
            let mut next = *world;
            change(&mut next);
            out.push((event, next));
        }
    };
    let mut last: Option<u64> = None;
    for (number, slot) in (0_u8..).zip(world.slots.iter()) {
        // Two instances that differ by name only have the same futures.
        if lab.scenario.symmetry && last == Some(slot.word()) {
            continue;
        }
        last = Some(slot.word());
        of_instance(lab, slot, number, &mut add);
    }
    if world.pending && lab.proves() {
        add(Event::Proven, &|next| {
            next.pending = false;
            next.slots.iter_mut().for_each(|slot| slot.set_flags(Flags::LINGERING, false));
        });
    }
    platform(world, &mut add);
    if world.target_unknown {
        add(Event::TargetFound, &|next| next.target_unknown = false);
    } else {
        add(Event::TargetLost, &|next| next.target_unknown = true);
    }
    match (lab.routed(), world.router_unknown) {
        (true, true) => add(Event::RouterFound, &|next| next.router_unknown = false),
        (true, false) => add(Event::RouterLost, &|next| next.router_unknown = true),
        (false, _) => {}
    }
}

/// A platform that replaces releases by itself: one more than it should have, one fewer once the new one is ready.
fn platform(world: &World, add: &mut Add<'_>) {
    let Some((set, size)) = world.becoming else {
        return;
    };
    let size = u32::from(size);
    let alive = count(world.slots.iter().filter(|slot| slot.is_alive()));
    let ready = count(world.of(set).filter(|slot| slot.life == Life::Ready));
    if world.alive(set) < size && alive <= size {
        add(Event::PlatformStarts, &|next| {
            clear_failed(next, set);
            let number = &mut next.next_id[usize::from(set)];
            let slot = Slot::starting(set, *number);
            *number += 1;
            next.slots.push(slot);
        });
    }
    let leaves = |slot: &Slot| slot.is_alive() && (slot.set != set || world.alive(set) > size);
    for (number, slot) in (0_u8..).zip(world.slots.iter()) {
        let unready = !matches!(slot.life, Life::Ready | Life::Fresh);
        if leaves(slot) && (unready || ready + alive - world.alive(set) > size || slot.set == set) {
            add(Event::PlatformStops(number), &|next| stop(&mut next.slots[usize::from(number)]));
        }
        if slot.life == Life::Failed && slot.set != set {
            add(Event::Stopped(number), &|next| end(&mut next.slots[usize::from(number)], Life::Gone));
        }
    }
}

fn of_instance(lab: &Lab<'_>, slot: &Slot, number: u8, add: &mut Add<'_>) {
    let at = usize::from(number);
    let mut change = |event: Event, change: &dyn Fn(&mut Slot)| {
        add(event, &|next| change(&mut next.slots[at]));
    };
    if slot.is(Flags::UNKNOWN) {
        change(Event::PlaceFound(number), &|s| s.set_flags(Flags::UNKNOWN | Flags::HIDDEN, false));
    } else if slot.exists() {
        change(Event::PlaceLost(number), &|s| s.set_flags(Flags::UNKNOWN, true));
    }
    if slot.is(Flags::BUSY) {
        change(Event::Drained(number), &|s| s.set_flags(Flags::BUSY, false));
    }
    let old = lab.ticks.start_deadline;
    match slot.life {
        Life::Starting => {
            change(Event::Ready(number), &|s| become_ready(s));
            if slot.is(Flags::UNJUDGED) {
                change(Event::Probed(number), &|s| s.set_flags(Flags::UNJUDGED, false));
            }
            change(Event::StartFailed(number), &|s| end(s, Life::Failed));
            if slot.set == lab.scenario.candidate && !slot.is(Flags::RESTARTED) {
                change(Event::ReadyWrong(number), &|s| {
                    become_ready(s);
                    s.set_flags(Flags::WRONG, true);
                });
            }
        }
        Life::Fresh => {
            // Who serves when a process starts is verified by its first success; others start at zero.
            let trusted = if lab.routed() {
                slot.is(Flags::IN_SPLIT) && !slot.is(Flags::MOVED)
            } else {
                Some(slot.set) == lab.scenario.stable
            };
            let ready = if trusted { lab.ticks.min_ready } else { 0 };
            change(Event::Probed(number), &|s| {
                become_ready(s);
                s.ready = ready;
            });
            change(Event::Died(number), &|s| end(s, Life::Failed));
        }
        Life::Ready => {
            change(Event::Died(number), &|s| end(s, Life::Failed));
            change(Event::Vanished(number), &|s| end(s, Life::Gone));
            change(Event::Fell(number), &|s| {
                s.life = Life::Fallen;
                s.ready = 0;
                s.born = old;
            });
            if !slot.is_any(Flags::RESTARTED | Flags::UNKNOWN) {
                change(Event::Restarted(number), &|s| {
                    let moved = s.is(Flags::IN_SPLIT);
                    (s.life, s.born, s.ready) = (Life::Starting, 0, 0);
                    s.set_flags(Flags::RESTARTED, true);
                    s.set_flags(Flags::MOVED, moved);
                    s.set_flags(Flags::BUSY | Flags::UNJUDGED, false);
                });
            }
        }
        Life::Fallen => change(Event::Recovered(number), &|s| become_ready(s)),
        Life::Stopping if !slot.is(Flags::UNKNOWN) => change(Event::Stopped(number), &|s| end(s, Life::Gone)),
        Life::Stopping | Life::Failed | Life::Gone => {}
    }
}

fn become_ready(slot: &mut Slot) {
    slot.life = Life::Ready;
    slot.ready = 0;
    slot.set_flags(Flags::UNJUDGED, false);
}

fn end(slot: &mut Slot, life: Life) {
    (slot.life, slot.born, slot.ready) = (life, NEVER, 0);
    slot.set_flags(Flags::BUSY | Flags::LINGERING | Flags::UNJUDGED, false);
    if life == Life::Gone {
        slot.set_flags(Flags::UNKNOWN | Flags::HIDDEN, false);
    }
}

/// The same world after the deployer died: what only the process knew is lost.
pub(super) fn crash(world: &World) -> World {
    let mut next = *world;
    next.prepared = false;
    next.refused = 0;
    next.accepted = None;
    next.answers = Default::default();
    for slot in next.slots.iter_mut() {
        match slot.life {
            Life::Ready => (slot.life, slot.ready) = (Life::Fresh, 0),
            Life::Fallen => slot.life = Life::Starting,
            _ => continue,
        }
        slot.set_flags(Flags::UNJUDGED, true);
    }
    for slot in next.slots.iter_mut() {
        let hidden = slot.is(Flags::UNKNOWN);
        slot.set_flags(Flags::HIDDEN, hidden);
    }
    next
}

/// The same world in the hands of another process, which sees every instance for the first time.
pub(super) fn resume(lab: &mut Lab<'_>, crashed: &World) -> World {
    let mut next = watched_anew(crashed);
    let state = lab.memos.get(next.memo).clone().resumed(&lab.scenario.plan, NOW);
    next.memo = lab.memos.number(state);
    next
}

/// The same world as a process sees it that was just started.
pub(super) fn watched_anew(world: &World) -> World {
    let mut next = *world;
    for slot in next.slots.iter_mut().filter(|slot| slot.is_alive()) {
        slot.born = 0;
    }
    next
}

/// The same world `ticks` later, if nothing else happens.
pub(super) fn pass(lab: &mut Lab<'_>, world: &World, ticks: u8) -> World {
    let mut next = *world;
    let limits = lab.ticks;
    for slot in next.slots.iter_mut() {
        match slot.life {
            Life::Starting | Life::Fresh | Life::Fallen => {
                slot.born = slot.born.saturating_add(ticks).min(limits.start_deadline);
            }
            Life::Ready => {
                slot.born = slot.born.saturating_add(ticks).min(limits.start_deadline);
                slot.ready = slot.ready.saturating_add(ticks).min(limits.min_ready);
            }
            Life::Stopping | Life::Failed | Life::Gone => {}
        }
    }
    if next.full != NEVER {
        next.full = next.full.saturating_add(ticks).min(limits.bake);
    }
    for slot in next.slots.iter_mut().filter(|slot| slot.is_any(Flags::LINGERING | Flags::BUSY)) {
        slot.left = slot.left.saturating_add(ticks).min(limits.settle.max(limits.drain));
        if !lab.proves() && slot.left >= limits.settle {
            slot.set_flags(Flags::LINGERING, false);
        }
    }
    for answer in &mut next.answers {
        answer.again_in = answer.again_in.saturating_sub(ticks);
    }
    next.memo = lab.memos.later(world.memo, ticks, limits.gate_deadline);
    next
}

/// Forgets ages on which nothing depends any more, so that equal futures are one state.
pub(super) fn settle_ages(lab: &Lab<'_>, world: &mut World) {
    for slot in world.slots.iter_mut() {
        if slot.life == Life::Ready && slot.ready >= lab.ticks.min_ready {
            slot.born = lab.ticks.start_deadline;
        }
    }
    for slot in world.slots.iter_mut().filter(|slot| !slot.is_any(Flags::LINGERING | Flags::BUSY)) {
        slot.left = 0;
    }
    if !matches!(lab.scenario.promise, Promise::KeepsOld { .. }) {
        world.full = NEVER;
    }
    if lab.scenario.detail == Detail::Core {
        forget_stale_timers(lab, world);
    }
}

/// A timer that has ended for a split that is no longer accepted: it could count again only if exactly that split
/// came back, which scenarios with full detail look for.
fn forget_stale_timers(lab: &Lab<'_>, world: &mut World) {
    let state = lab.memos.get(world.memo);
    let ended = |timer: Option<deployer_core::strategy::Timer>| timer.is_some_and(|t| t.until <= NOW);
    let is_stale = |binding: Binding, flag: Flags| {
        binding != Binding::Split(world.split)
            || world.slots.iter().any(|slot| slot.is(flag) != slot.is(Flags::IN_SPLIT))
    };
    let settle = ended(state.settle) && is_stale(world.settle, Flags::OF_SETTLE);
    let drain = ended(state.drain) && is_stale(world.drain, Flags::OF_DRAIN);
    if settle {
        world.settle = Binding::Other(1);
    }
    if drain {
        world.drain = Binding::Other(1);
    }
}

/// Ticks until the next moment at which something could look different.
pub(super) fn next_deadline(lab: &Lab<'_>, world: &World) -> Option<u8> {
    let ticks = lab.ticks;
    let state = lab.memos.get(world.memo);
    let mut all: Vec<u64> = vec![ticks_until(state.progress_until)];
    all.extend(state.settle.map(|timer| ticks_until(timer.until)));
    all.extend(state.drain.map(|timer| ticks_until(timer.until)));
    all.extend(state.bake_until.map(ticks_until));
    all.extend(state.descent.map(|(_, until)| ticks_until(until)));
    let unanswered = state.gates.iter().filter(|record| record.verdict.is_none());
    all.extend(unanswered.map(|r| ticks_until(r.since.after(lab.scenario.plan.settings.gate_deadline))));
    all.extend(world.answers.iter().map(|answer| u64::from(answer.again_in)));
    for slot in world.slots.iter() {
        match slot.life {
            Life::Starting | Life::Fallen => {
                all.push(u64::from(ticks.start_deadline.saturating_sub(slot.born)));
            }
            Life::Ready => all.push(u64::from(ticks.min_ready.saturating_sub(slot.ready))),
            _ => {}
        }
    }
    let lingering = world.slots.iter().filter(|slot| slot.is(Flags::LINGERING) && !lab.proves());
    all.extend(lingering.map(|slot| u64::from(ticks.settle.saturating_sub(slot.left))));
    all.into_iter().filter(|ticks| *ticks > 0).min().and_then(|ticks| u8::try_from(ticks).ok())
}
