//! What a rollout is started with.

use super::{
    assemble::Look,
    history::History,
    memory::Memory,
    observe::look,
    parts::RolloutParts,
    wanted::{Resolved, Wanted},
};
use crate::{
    error::Problem,
    model::{InstancePhase, Replicas, SetId, Timestamp, WorkloadView},
    pipeline::Rollout,
    ports::CallContext,
    strategy::{Plan, RolloutState, Seen},
};

/// What a rollout is started with, and the look that led to it.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) rollout: Rollout,
    pub(super) look: Look,
    pub(super) memory: Memory,
    pub(super) at: Timestamp,
}

impl Start {
    /// Looks at the world once. A look that fails is not repeated: nothing was done yet, and the caller can come again.
    pub(super) async fn look(
        parts: &RolloutParts,
        context: &CallContext,
        history: &History,
    ) -> Result<Self, Vec<Problem>> {
        let stable = history.stable().cloned();
        let stable_set =
            stable.as_ref().map(|stable| SetId::from(&stable.release.id)).or_else(|| parts.adopt.clone());
        let mut memory = Memory::default();
        let (look, at) = look(parts, context, &mut memory, stable_set.as_ref()).await;
        let view = match &look.target {
            Seen::Known(view) => view,
            Seen::Unknown { why } => return Err(vec![Problem::new("target", why.clone())]),
        };
        let mut found = strangers(parts, history, view);
        let resolved = parts.wanted.resolve(history).map_err(|problem| found.push(problem));
        if let Some(Seen::Unknown { why }) = &look.traffic {
            found.push(Problem::new("router", why.clone()));
        }
        let replicas = replicas(parts, view, stable_set.as_ref()).map_err(|problem| found.push(problem));
        let (Ok(replicas), Ok(Resolved { release, pinned }), true) = (replicas, resolved, found.is_empty())
        else {
            return Err(found);
        };
        let mut plan = Plan {
            workload: parts.workload.clone(),
            returning: history.is_return(&release, parts.settings.rollback_window),
            release,
            pinned,
            stable,
            stable_set,
            replicas,
            settings: parts.settings.clone(),
            gates: parts.bindings.clone(),
            target: parts.target.capabilities(),
            router: parts.router.as_ref().map(|router| router.capabilities()),
        };
        let state = match (&parts.wanted, &plan.pinned) {
            (Wanted::Nothing(vacate, reason), Some(artifact)) => {
                (plan.stable, plan.stable_set) = (None, None);
                let (artifact, vacate) = (artifact.clone(), vacate.clone());
                RolloutState::removal(&plan, artifact, vacate, reason.clone(), at)
            }
            _ => RolloutState::begin(&plan, at),
        };
        Ok(Self { rollout: Rollout { plan, state }, look, memory, at })
    }
}

/// A set that no journal knows may be the live service: it is never taken for something left over.
fn strangers(parts: &RolloutParts, history: &History, view: &WorkloadView) -> Vec<Problem> {
    let is_known = |set: &SetId| {
        parts.wanted.set().as_ref() == Some(set)
            || parts.adopt.as_ref() == Some(set)
            || history.known.contains_key(set)
    };
    let strangers = view.sets.iter().filter(|set| !set.instances.is_empty() && !is_known(&set.set));
    strangers
        .map(|set| {
            let why = format!(
                "{} runs set {}, which no journal knows; use the journal it was deployed with, or name it in `adopt`",
                parts.target.name(),
                set.set
            );
            Problem::new("target", why)
        })
        .collect()
}

fn replicas(parts: &RolloutParts, view: &WorkloadView, stable: Option<&SetId>) -> Result<u32, Problem> {
    let owned = match parts.replicas {
        Replicas::Fixed(replicas) => return Ok(replicas),
        Replicas::OwnedByTarget => view.sets.iter().filter(|set| stable == Some(&set.set)),
    };
    let counts =
        |phase: &InstancePhase| matches!(phase, InstancePhase::Starting | InstancePhase::Running { .. });
    let count = owned.flat_map(|set| &set.instances).filter(|instance| counts(&instance.phase)).count();
    match u32::try_from(count) {
        Ok(replicas) if replicas > 0 => Ok(replicas),
        _ => Err(Problem::new(
            "replicas",
            "the target is to say how many there are, and has none yet; begin with a fixed number",
        )),
    }
}
