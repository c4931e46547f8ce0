//! The way to a state, in words.

use std::fmt::Write;

use deployer_core::strategy::{Decision, Phase, RolloutState};

use super::{
    lab::Lab,
    names::set_text,
    search::{Graph, NOBODY},
    slot::{Flags, Slot},
    view,
    world::{ShapeKind, World},
};

/// Every event and decision on the way to a state.
pub(super) fn to(lab: &Lab<'_>, graph: &Graph, node: u32) -> Vec<String> {
    let mut path = vec![node];
    while let Some(parent) = path.last().map(|at| graph.nodes[*at as usize].parent).filter(|at| *at != NOBODY)
    {
        path.push(parent);
    }
    path.reverse();
    let mut lines = Vec::new();
    for at in path {
        let node = &graph.nodes[at as usize];
        let before = graph.nodes.get(node.parent as usize).map_or(&node.world, |parent| &parent.world);
        lines.push(format!("* {}", node.event.describe(before)));
        lines.push(format!("    {}", picture(&node.world)));
        let state = view::memory(lab, &node.world);
        lines.push(format!("    {}", recall(&state)));
        let decision = lab.decide(&state, &view::observe(lab, &node.world));
        lines.push(format!("  > {}", decide(&state, &decision)));
    }
    lines
}

/// A world in one line.
pub(super) fn picture(world: &World) -> String {
    let mut text = String::new();
    for slot in world.slots.iter() {
        let _ = write!(text, "{} ", of(slot));
    }
    let weights: Vec<String> =
        world.split.shares().iter().map(|(set, weight)| format!("{}:{weight}", set_text(*set))).collect();
    match world.split.kind {
        ShapeKind::Maintenance => text.push_str("| maintenance"),
        ShapeKind::Serve => text.extend(["| ", &weights.join(" ")]),
    }
    let words = [
        (world.pending, "unproven"),
        (world.target_unknown, "target unknown"),
        (world.router_unknown, "router unknown"),
        (world.prepared, "prepared"),
        (world.refused > 0, "refused"),
    ];
    for (_, word) in words.iter().filter(|(true_now, _)| *true_now) {
        let _ = write!(text, ", {word}");
    }
    if let Some(kind) = world.requests.iter().find(|kind| **kind != 0) {
        let _ = write!(text, ", request {kind} waits");
    }
    for answer in world.answers.iter().filter(|answer| answer.verdict != 0) {
        let _ = write!(text, ", gate said {:?} for {}", view::verdict(answer.verdict), answer.step);
    }
    text
}

fn of(slot: &Slot) -> String {
    let marks = [
        (Flags::IN_SPLIT, "in rotation"),
        (Flags::BUSY, "busy"),
        (Flags::LINGERING, "may still get requests"),
        (Flags::UNKNOWN, "place unknown"),
        (Flags::HIDDEN, "never seen"),
        (Flags::WRONG, "wrong digest"),
        (Flags::UNJUDGED, "not probed yet"),
        (Flags::MOVED, "new address"),
        (Flags::COUNTED, "counted as failed"),
    ];
    let mut text = format!("[{}-{:02} {:?}", set_text(slot.set), slot.id, slot.life).to_lowercase();
    for (_, word) in marks.iter().filter(|(flag, _)| slot.is(*flag)) {
        let _ = write!(text, ", {word}");
    }
    text + "]"
}

fn recall(state: &RolloutState) -> String {
    let mut text = format!(
        "{} {} step {} reached {}, progress until +{}s",
        if state.is_forward() { "forward" } else { "BACKWARD" },
        phase(state.phase),
        state.step,
        state.reached,
        super::memos::ticks_until(state.progress_until),
    );
    let timers = [
        ("settle", state.settle.map(|t| t.until)),
        ("drain", state.drain.map(|t| t.until)),
        ("bake", state.bake_until),
    ];
    for (name, until) in timers {
        if let Some(until) = until {
            let _ = write!(text, ", {name} until +{}s", super::memos::ticks_until(until));
        }
    }
    if state.paused_since.is_some() {
        text.push_str(", paused");
    }
    if !state.failed.is_empty() {
        let _ = write!(text, ", failed {:?}", state.failed);
    }
    text
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Preparing => "preparing",
        Phase::Provisioning => "provisioning",
        Phase::Shifting => "shifting",
        Phase::Baking => "baking",
        Phase::Retiring => "retiring",
    }
}

fn decide(state: &RolloutState, decision: &Decision) -> String {
    match decision {
        Decision::Act { commands, why } => {
            let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
            format!("ACT {} ({why})", commands.join("; "))
        }
        Decision::Advance { state: new, why } => format!("REMEMBER {why}{}", difference(state, new)),
        Decision::Wait { why, until } => {
            format!("WAIT {why}, at most {} s", super::memos::ticks_until(*until))
        }
        Decision::Pause { why } => format!("PAUSE {why}"),
        Decision::Finish(outcome) => format!("END {outcome:?}"),
        other => format!("{other:?}"),
    }
}

fn difference(old: &RolloutState, new: &RolloutState) -> String {
    let mut text = String::new();
    if old.phase != new.phase {
        let _ = write!(text, ", phase {}", phase(new.phase));
    }
    if old.direction != new.direction {
        let _ = write!(text, ", {:?}", new.direction);
    }
    text
}
