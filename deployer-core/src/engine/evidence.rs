//! What failed instances leave behind, taken before they are removed.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::{Recorder, call::within, parts::RolloutParts};
use crate::{
    event::EventKind,
    model::{Evidence, InstanceId, InstancePhase},
    ports::CallContext,
    strategy::{InstanceSeen, Observation, RolloutState, Seen},
};

/// Of how many instances evidence is kept.
const INSTANCES: usize = 5;
/// How much of a log is kept, in bytes; the end of it.
const LOG: usize = 4 * 1024;
/// How many of the platform's notes are kept; the newest.
const NOTES: usize = 10;

/// What is known of one instance that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEvidence {
    /// Which instance.
    pub instance: InstanceId,
    /// What was wrong with it.
    pub why: String,
    /// What is known of it: at most the last 4 KiB of its log and the last 10 notes of the platform.
    pub evidence: Evidence,
}

impl InstanceEvidence {
    /// How it ended, where that is more than what was wrong with it.
    pub(super) fn exit(&self) -> Option<&str> {
        self.evidence.exit.as_deref().filter(|exit| !self.why.contains(exit))
    }
}

/// Takes evidence of each failed instance once.
#[derive(Debug, Default)]
pub(super) struct Collector {
    taken: BTreeSet<InstanceId>,
}

impl Collector {
    /// Takes evidence of the new set's instances that have failed; once it goes back, of those too that never became
    /// ready. Returns whether there was any: then time has passed.
    pub(super) async fn collect(
        &mut self,
        parts: &RolloutParts,
        context: &CallContext,
        recorder: &Recorder,
        state: &RolloutState,
        seen: &Observation,
    ) -> bool {
        let Seen::Known(sets) = &seen.sets else { return false };
        let mut failed = Vec::new();
        for instance in sets.iter().filter(|set| set.set == state.candidate).flat_map(|set| &set.instances) {
            let Some(why) = trouble(instance, state) else { continue };
            if failed.len() + self.taken.len() < INSTANCES && !self.taken.contains(&instance.id) {
                failed.push((instance.id.clone(), why));
            }
        }
        if failed.is_empty() {
            return false;
        }
        let evidence = join_all(failed.iter().map(|(instance, _)| {
            let call = parts.target.evidence(context, instance);
            within(&*parts.tools.clock, parts.tools.engine.call_deadline, "take evidence", call)
        }))
        .await;
        for ((instance, why), evidence) in failed.into_iter().zip(evidence) {
            self.taken.insert(instance.clone());
            match evidence {
                Ok(evidence) => {
                    recorder.progress(EventKind::EvidenceFound { instance, why, evidence: cut(evidence) });
                }
                Err(error) => recorder.note(format!("no evidence of {instance}: {}", error.report())),
            }
        }
        true
    }
}

fn trouble(instance: &InstanceSeen, state: &RolloutState) -> Option<String> {
    let trouble =
        || if instance.trouble.is_empty() { "not ready".to_owned() } else { instance.trouble.to_string() };
    match &instance.phase {
        InstancePhase::Failed { reason } => Some(reason.clone()),
        _ if state.failed.contains(&instance.id) || instance.has_fallen => Some(trouble()),
        InstancePhase::Starting | InstancePhase::Running { .. }
            if !state.is_forward() && instance.ready_since.is_none() =>
        {
            Some(trouble())
        }
        _ => None,
    }
}

fn cut(mut evidence: Evidence) -> Evidence {
    if evidence.log.len() > LOG {
        let mut start = evidence.log.len() - LOG;
        while !evidence.log.is_char_boundary(start) {
            start += 1;
        }
        // A line that was cut in two explains nothing.
        start += evidence.log[start..].find('\n').map_or(0, |feed| feed + 1);
        evidence.log = evidence.log.split_off(start);
    }
    let surplus = evidence.events.len().saturating_sub(NOTES);
    evidence.events.drain(..surplus);
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_kept() {
        let log = (0..3000).map(|n| format!("ü line {n}\n")).collect::<Vec<_>>().concat();
        let events = (0..20).map(|n| n.to_string()).collect();
        let evidence = cut(Evidence { log, exit: None, events });
        assert!(evidence.log.len() <= LOG && evidence.log.starts_with("ü line "), "{}", evidence.log.len());
        assert!(evidence.log.ends_with("ü line 2999\n"));
        assert_eq!(evidence.events.len(), NOTES);
        assert_eq!(evidence.events.last().unwrap(), "19");
    }
}
