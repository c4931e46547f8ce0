//! All that can follow one moment: the decision carried out, in whole or in part, and what the world does meanwhile.

use deployer_core::{
    model::GateId,
    strategy::{Command, Decision, PauseReason, RolloutState},
};

use super::{
    effect::{self, Reach},
    event::{Class, Event},
    lab::Lab,
    memos::ticks_until,
    nature::{self, Left},
    scenario::Detail,
    world::{Answer, World},
};

/// Ticks in which every deadline of a scenario passes.
const LONG: u8 = 60;

/// A world that can be next. [`canonical`](World::canonicalise) is yet to be made of it.
pub(super) struct Next {
    pub(super) event: Event,
    pub(super) class: Class,
    pub(super) world: World,
}

/// Everything that can follow.
///
/// # Errors
/// The decision makes no sense in this world.
pub(super) fn expand(
    lab: &mut Lab<'_>,
    world: &World,
    state: &RolloutState,
    decision: &Decision,
    left: Left,
) -> Result<Vec<Next>, String> {
    let mut out = Vec::with_capacity(24);
    match decision {
        Decision::Finish(_) => return Ok(Vec::new()),
        Decision::Advance { state: new, .. } => {
            out.push((Event::Advance, effect::remember(lab, world, (**new).clone())));
        }
        Decision::Act { commands, .. } => act(lab, world, state, commands, left, &mut out)?,
        Decision::Wait { until, .. } => time(lab, world, Some(ticks_until(*until)), &mut out),
        Decision::Pause { .. } => time(lab, world, None, &mut out),
        other => return Err(format!("the check does not know the decision {other:?}")),
    }
    let fine = lab.scenario.detail == Detail::Fine;
    let remembers = matches!(decision, Decision::Advance { .. });
    if fine || !remembers {
        nature::happenings(lab, world, left, &mut out);
    }
    if left.crash {
        crashes(lab, world, &mut out);
    }
    if !fine {
        out.retain(|(event, _)| event.class() != Class::Fault || event.is_core());
    }
    out.iter_mut()
        .filter(|(event, _)| event.class() != Class::Crash)
        .for_each(|(_, next)| next.resumed = false);
    let mut all: Vec<Next> =
        out.into_iter().map(|(event, world)| Next { event, class: event.class(), world }).collect();
    if !remembers {
        people(lab, world, decision, &mut all);
    }
    Ok(all)
}

fn act(
    lab: &mut Lab<'_>,
    world: &World,
    state: &RolloutState,
    commands: &[Command],
    left: Left,
    out: &mut Vec<(Event, World)>,
) -> Result<(), String> {
    let all = u8::try_from((1_u32 << commands.len()) - 1).map_err(|_| "more than 8 commands at once")?;
    let whole = subset(lab, world, commands, all, None)?;
    let asked: Vec<&GateId> = commands
        .iter()
        .filter_map(|command| if let Command::Evaluate(gate) = command { Some(gate) } else { None })
        .collect();
    if asked.is_empty() {
        out.push((Event::Act, whole));
    } else {
        for verdict in 1..=3 {
            let mut next = whole;
            answer(lab, state, &mut next, &asked, verdict);
            out.push((Event::Answer(verdict), next));
        }
    }
    let numbers = 0..u8::try_from(commands.len()).expect("at most 8");
    if left.fault {
        for at in numbers.clone() {
            let without = subset(lab, world, commands, all & !(1 << at), None)?;
            if let Some(kind) = refusal(&commands[usize::from(at)]) {
                out.push((Event::ActRefused(at), World { refused: kind, ..without }));
                out.push((Event::ActBut(at), without));
            }
            if matches!(commands[usize::from(at)], Command::Apply(_) | Command::Remove(_)) {
                out.push((Event::ActPartly(at), subset(lab, world, commands, all, Some(at))?));
            }
        }
    }
    if left.crash {
        for mask in 1..=all {
            let next = subset(lab, world, commands, mask, None)?;
            out.push((Event::ActAndCrash(mask), nature::resume(lab, &nature::crash(&next))));
        }
    }
    Ok(())
}

/// The world after some of the commands.
///
/// # Errors
/// One makes no sense in this world.
pub(super) fn subset(
    lab: &mut Lab<'_>,
    world: &World,
    commands: &[Command],
    mask: u8,
    partly: Option<u8>,
) -> Result<World, String> {
    let mut next = *world;
    for (at, command) in (0_u8..).zip(commands) {
        if mask & 1 << at != 0 {
            let reach = if partly == Some(at) { Reach::OneInstance } else { Reach::Whole };
            effect::carry_out(lab, &mut next, command, reach)?;
        }
    }
    Ok(next)
}

fn refusal(command: &Command) -> Option<u8> {
    match command {
        Command::Prepare(_) => Some(1),
        Command::Apply(_) => Some(2),
        Command::Shift(_) => Some(3),
        Command::Remove(_) => Some(4),
        _ => None,
    }
}

/// Gates answer for the step at which the rollout asks them.
fn answer(lab: &Lab<'_>, state: &RolloutState, world: &mut World, asked: &[&GateId], verdict: u8) {
    for (binding, answer) in lab.scenario.plan.gates.iter().zip(&mut world.answers) {
        if asked.contains(&&binding.gate) {
            let open = |record: &&deployer_core::strategy::GateRecord| {
                record.gate == binding.gate && record.at == binding.at && record.verdict.is_none()
            };
            let step = state.gates.iter().rev().find(open).map_or(state.step, |record| record.step);
            let again_in = u8::from(verdict > 2);
            *answer = Answer { verdict, step: u8::try_from(step).unwrap_or(u8::MAX), again_in };
        }
    }
}

fn time(lab: &mut Lab<'_>, world: &World, until: Option<u64>, out: &mut Vec<(Event, World)>) {
    let mut jumps: Vec<u8> = nature::next_deadline(lab, world).into_iter().collect();
    if let Some(until) = until.and_then(|ticks| u8::try_from(ticks).ok()) {
        jumps.retain(|jump| *jump < until && lab.scenario.detail == Detail::Fine);
        // The first jump is the one that surely happens: the driver looks again then at the latest.
        jumps.insert(0, until);
    }
    for jump in jumps.into_iter().filter(|jump| *jump > 0) {
        out.push((Event::Time(jump), nature::pass(lab, world, jump)));
    }
}

fn crashes(lab: &mut Lab<'_>, world: &World, out: &mut Vec<(Event, World)>) {
    let crashed = nature::crash(world);
    // What had run out of time before the crash is no fault of the time without a deployer.
    let resumed = ticks_until(lab.memos.get(world.memo).progress_until) > 0;
    let later = nature::pass(lab, &crashed, LONG);
    out.push((Event::LongCrash, World { resumed, ..nature::resume(lab, &later) }));
    out.push((Event::Crash, nature::resume(lab, &crashed)));
}

/// What people ask for: out of the blue as often as the limits allow, and always what a paused rollout waits for.
fn people(lab: &mut Lab<'_>, world: &World, decision: &Decision, all: &mut Vec<Next>) {
    let scales = 7..7 + u8::try_from(lab.scenario.scales.len()).expect("a few sizes");
    let mut ask = |kind: u8, class: Class| {
        let mut next = *world;
        next.requests[0] = kind;
        // Requests come first in a step, so nothing is lost by taking it in at once.
        let state = super::view::memory(lab, &next);
        if let Decision::Advance { state: new, .. } = lab.decide(&state, &super::view::observe(lab, &next))
            && new.last_request > 0
        {
            next = effect::remember(lab, &next, *new);
        }
        if class == Class::Request {
            next.requests_left -= 1;
        }
        all.push(Next { event: Event::Requested(kind), class, world: next });
    };
    if let Decision::Pause { why } = decision {
        ask(if matches!(why, PauseReason::Requested) { 3 } else { 4 }, Class::Human);
    }
    if world.requests_left > 0 {
        for kind in [1, 2, 4, 5, 6].into_iter().chain(scales) {
            ask(kind, Class::Request);
        }
    }
}
