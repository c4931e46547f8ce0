//! Asking gates, and waiting for them.

use super::{Cause, Command, Decision, Direction, GateRecord, GateSeen, Situation, Verdict, WaitReason};
use crate::model::{AttachPoint, GateBinding};

/// The next move until all gates of a point have passed for this step; `None` once they have.
pub(super) fn pass(s: &Situation<'_>, at: AttachPoint, step: u32) -> Option<Decision> {
    if s.state.promoted_fully || s.plan.returning {
        return None;
    }
    let bound = |binding: &&GateBinding| binding.at == at;
    let mut ask = Vec::new();
    let mut wait = None;
    for binding in s.plan.gates.iter().filter(bound) {
        let is_it =
            |record: &&GateRecord| record.gate == binding.gate && record.at == at && record.step == step;
        let Some(record) = s.state.gates.iter().find(is_it) else {
            return Some(begin(s, at, step));
        };
        if record.verdict.is_some() {
            continue;
        }
        let deadline = record.since.after(s.plan.settings.gate_deadline);
        let answer = s.seen.gates.iter().find(|g| g.gate == binding.gate && g.at == at && g.step == step);
        if let Some(answer) = answer.filter(|answer| answer.verdict.is_definite()) {
            return Some(take(s, record, answer));
        }
        if s.now() >= deadline {
            let reason = answer.map_or("it was never asked", |answer| answer.verdict.reason()).to_owned();
            return Some(s.turn_back(Cause::GateTimedOut { gate: binding.gate.clone(), reason }));
        }
        match answer {
            Some(answer) if s.now() < answer.next_at => {
                let why = WaitReason::Gate {
                    gate: binding.gate.clone(),
                    reason: answer.verdict.reason().to_owned(),
                };
                wait.get_or_insert(Decision::Wait { why, until: answer.next_at.min(deadline) });
            }
            _ => ask.push(Command::Evaluate(binding.gate.clone())),
        }
    }
    if ask.is_empty() { wait } else { Some(Decision::Act { commands: ask, why: "ask gates".into() }) }
}

/// Notes that all gates of a point are being asked, and from when their deadline counts.
fn begin(s: &Situation<'_>, at: AttachPoint, step: u32) -> Decision {
    let now = s.now();
    let until = now.after(s.plan.settings.gate_deadline).after(s.plan.settings.progress_deadline);
    s.advance("gates are asked", |state| {
        for binding in s.plan.gates.iter().filter(|binding| binding.at == at) {
            let known = state.gates.iter().any(|g| g.gate == binding.gate && g.at == at && g.step == step);
            if !known {
                state.gates.push(GateRecord {
                    gate: binding.gate.clone(),
                    at,
                    step,
                    since: now,
                    verdict: None,
                });
            }
        }
        state.progress_until = state.progress_until.max(until);
    })
}

fn take(s: &Situation<'_>, record: &GateRecord, answer: &GateSeen) -> Decision {
    let keep = |state: &mut super::RolloutState| {
        let same = |r: &&mut GateRecord| r.gate == record.gate && r.at == record.at && r.step == record.step;
        if let Some(kept) = state.gates.iter_mut().find(same) {
            kept.verdict = Some(answer.verdict.clone());
        }
    };
    match &answer.verdict {
        Verdict::Fail { reason } => {
            let cause = Cause::GateFailed { gate: record.gate.clone(), reason: reason.clone() };
            let why = format!("going back: {cause}");
            s.progress(why, |state| {
                keep(state);
                state.direction = Direction::Backward { cause };
                state.reached = 0;
            })
        }
        verdict => s.progress(format!("gate {} passed: {}", record.gate, verdict.reason()), keep),
    }
}
