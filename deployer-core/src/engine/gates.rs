//! Asking gates.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    call::{Limited, limited},
    memory::Memory,
    parts::RolloutParts,
};
use crate::{
    model::{AttachPoint, GateId, Instance, SetId, Timestamp},
    ports::{CallContext, GateAnswer, GateWindow},
    strategy::{GateSeen, Observation, Plan, RolloutState, Seen, Verdict},
};

/// The most that a gate may ask to remember, in bytes of JSON.
const MEMORY_LIMIT: usize = 4 * 1024;
/// A gate that wants to be asked again at once has to wait this long.
const SOONEST: Duration = Duration::from_millis(100);
/// How long a gate that gave no answer is left alone.
const AFTER_NO_ANSWER: Duration = Duration::from_secs(5);

/// What gates said, and what they asked to remember.
#[derive(Debug, Default)]
pub(super) struct GateDesk {
    seen: Vec<GateSeen>,
    memories: BTreeMap<(GateId, AttachPoint, u32), serde_json::Value>,
}

impl GateDesk {
    pub(super) fn seen(&self) -> Vec<GateSeen> {
        self.seen.clone()
    }

    /// When a gate that has not decided wants to be asked again.
    pub(super) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let open = self.seen.iter().filter(|seen| !seen.verdict.is_definite() && seen.next_at > now);
        open.map(|seen| seen.next_at).min()
    }

    /// How long a gate that has not decided wants to be left alone with this question.
    pub(super) fn too_early(&self, gate: &GateId, window: &GateWindow) -> Option<Duration> {
        let same = |seen: &&GateSeen| seen.gate == *gate && (seen.at, seen.step) == (window.at, window.step);
        let open = self.seen.iter().find(same).filter(|seen| !seen.verdict.is_definite())?;
        Some(open.next_at.since(window.now))
    }

    /// What a gate is asked about now.
    pub(super) fn window(
        &self,
        gate: &GateId,
        plan: &Plan,
        state: &RolloutState,
        instances: Arc<[Instance]>,
        now: Timestamp,
    ) -> Option<GateWindow> {
        let open = state.gates.iter().rev().find(|record| record.gate == *gate && record.verdict.is_none());
        let bound = plan.gates.iter().find(|binding| binding.gate == *gate);
        let (at, step, since) = match (open, bound) {
            (Some(record), _) => (record.at, record.step, record.since),
            (None, Some(binding)) => (binding.at, state.step, now),
            (None, None) => return None,
        };
        Some(GateWindow {
            at,
            step,
            since,
            now,
            candidate: state.candidate.clone(),
            stable: state.stable.clone(),
            instances,
            memory: self.memories.get(&(gate.clone(), at, step)).cloned().unwrap_or_default(),
        })
    }

    /// Takes in an answer.
    pub(super) fn take_in(&mut self, gate: GateId, window: &GateWindow, answer: GateAnswer, now: Timestamp) {
        let (at, step) = (window.at, window.step);
        let GateAnswer { mut verdict, memory, next_at } = answer;
        if serde_json::to_vec(&memory).map_or(true, |bytes| bytes.len() > MEMORY_LIMIT) {
            verdict =
                Verdict::Unknown { reason: format!("it wants to remember more than {MEMORY_LIMIT} bytes") };
        } else {
            self.memories.insert((gate.clone(), at, step), memory);
        }
        self.seen.retain(|seen| seen.gate != gate);
        self.seen.push(GateSeen { gate, at, step, verdict, next_at: next_at.max(now.after(SOONEST)) });
    }
}

/// Asks one gate. What it cannot say in time is unknown.
pub(super) async fn ask(
    parts: &RolloutParts,
    context: &CallContext,
    gate: &GateId,
    window: &GateWindow,
) -> GateAnswer {
    let unknown = |reason: String| GateAnswer {
        verdict: Verdict::Unknown { reason },
        memory: window.memory.clone(),
        next_at: parts.tools.clock.now().after(AFTER_NO_ANSWER),
    };
    let Some(known) = parts.gates.get(gate) else {
        return unknown(format!("this deployment has no gate {gate}"));
    };
    let limit = parts.tools.engine.call_deadline;
    match limited(&*parts.tools.clock, limit, known.evaluate(context, window)).await {
        Limited::Done(answer) => answer,
        Limited::TimedOut => unknown(format!("no answer within {limit:?}")),
        Limited::Panicked => unknown("the gate panicked".to_owned()),
    }
}

/// The instances of a set that are verified, as the target sees them.
pub(super) fn verified(
    seen: &Observation,
    memory: &Memory,
    set: &SetId,
    min_ready: Duration,
) -> Arc<[Instance]> {
    let Seen::Known(sets) = &seen.sets else { return Arc::default() };
    let instances = sets.iter().filter(|seen| seen.set == *set).flat_map(|seen| &seen.instances);
    instances
        .filter(|instance| instance.ready_since.is_some_and(|since| since.after(min_ready) <= seen.now))
        .filter_map(|instance| memory.instances.get(&instance.id))
        .map(|remembered| remembered.instance.clone())
        .collect()
}
