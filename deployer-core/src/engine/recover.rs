//! Where a deployment stands, as its journal says. Pure.

use crate::{
    event::{Event, EventKind},
    model::{DeploymentId, Epoch, PinnedRelease, Timestamp, WorkloadId},
    pipeline::Progress,
    strategy::Outcome,
};

/// Where a deployment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recovery {
    pub(crate) deployment: DeploymentId,
    pub(crate) workloads: Vec<WorkloadId>,
    pub(crate) plan_hash: String,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
    /// The epoch of its last event.
    pub(crate) epoch: Epoch,
    pub(crate) progress: Progress,
}

/// What a deployment meant for one of its workloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Past {
    /// What its release resolved to.
    pub(crate) pinned: PinnedRelease,
    /// Its release is the one to go back to.
    pub(crate) is_live: bool,
    /// It took the workload down: there is nothing to go back to.
    pub(crate) is_removed: bool,
}

impl Recovery {
    pub(crate) fn has_ended(&self) -> bool {
        self.progress.ended.is_some()
    }

    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.progress.ended, Some(Outcome::Stuck { .. }))
    }

    /// What it meant for this workload, if its release was prepared at all.
    pub(crate) fn past(&self, workload: &WorkloadId) -> Option<Past> {
        let stages = self.progress.stages.iter();
        let mut of_it = stages.filter(|stage| stage.outline.workload.as_ref() == Some(workload));
        of_it.find_map(|stage| {
            let rollout = &stage.forward.as_ref()?.rollout;
            let artifact = rollout.state.artifact.clone()?;
            let pinned = PinnedRelease { release: rollout.plan.release.clone(), artifact };
            Some(Past { pinned, is_live: stage.is_live(), is_removed: stage.is_removed() })
        })
    }
}

/// Reads where a deployment stands.
///
/// # Errors
/// Events that no deployment writes in this order.
pub(crate) fn plan(events: &[Event]) -> Result<Recovery, String> {
    let [first, rest @ ..] = events else { return Err("it has no events".to_owned()) };
    let EventKind::DeploymentStarted { workloads, stages, plan_hash, .. } = &first.kind else {
        return Err("its first event does not start a deployment".to_owned());
    };
    let mut progress = Progress::begin(stages);
    for event in rest {
        progress.follow(event).map_err(|why| format!("event {}: {why}", event.seq))?;
    }
    let last = events.last().unwrap_or(first);
    Ok(Recovery {
        deployment: first.deployment.clone(),
        workloads: workloads.clone(),
        plan_hash: plan_hash.clone(),
        started_at: first.at,
        finished_at: last.at,
        epoch: last.epoch,
        progress,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        event::{CrashKind, StageOutline, UndoKind},
        model::{Artifact, Release, ReleaseId, RolloutSettings, StageId, TargetCapabilities},
        pipeline::{Next, StagePhase, next},
        strategy::{Cause, Command, Direction, Phase, Plan, RolloutState},
    };

    fn the_plan() -> Plan {
        let release = Release {
            id: ReleaseId::new("v1").unwrap(),
            artifact: "v1".into(),
            config: serde_json::Value::Null,
            secrets: Vec::new(),
        };
        let target = TargetCapabilities {
            pins_victims: true,
            admits_itself: false,
            delegates: false,
            grows_adopted: false,
            exclusive: None,
            fences: true,
            stop_grace: Duration::ZERO,
        };
        Plan {
            workload: WorkloadId::new("web").unwrap(),
            release,
            pinned: None,
            stable: None,
            stable_set: None,
            replicas: 1,
            settings: RolloutSettings::default(),
            gates: Vec::new(),
            target,
            router: None,
            returning: false,
        }
    }

    fn state(phase: Phase) -> RolloutState {
        let mut state = RolloutState::begin(&the_plan(), Timestamp::default());
        state.phase = phase;
        if phase != Phase::Preparing {
            state.artifact = Some(Artifact { digest: "sha".into(), detail: serde_json::Value::Null });
        }
        state
    }

    fn advanced(state: RolloutState) -> EventKind {
        EventKind::Advanced { state: Box::new(state), why: String::new() }
    }

    fn intent() -> EventKind {
        let commands = vec![Command::Prepare(ReleaseId::new("v1").unwrap())];
        EventKind::Intent { commands, why: String::new(), results: Vec::new() }
    }

    fn journal() -> Vec<EventKind> {
        let started = EventKind::DeploymentStarted {
            workloads: vec![WorkloadId::new("web").unwrap()],
            stages: vec![StageOutline {
                id: StageId::new("rollout").unwrap(),
                what: "a rollout".into(),
                workload: Some(WorkloadId::new("web").unwrap()),
                undo: UndoKind::Rollout,
                after_crash: CrashKind::GoesOn,
            }],
            plan_hash: "hash".into(),
            owner: "me".into(),
        };
        let rollout = EventKind::RolloutStarted {
            plan: Box::new(the_plan()),
            strategy: "rolling".into(),
            state: Box::new(state(Phase::Preparing)),
        };
        let outcome = Outcome::Succeeded;
        vec![
            started,
            EventKind::StageStarted,
            rollout,
            intent(),
            advanced(state(Phase::Provisioning)),
            EventKind::Interrupted { why: "sigterm".into() },
            EventKind::Resumed { owner: "you".into() },
            intent(),
            advanced(state(Phase::Retiring)),
            EventKind::RolloutFinished { outcome: outcome.clone() },
            EventKind::StageSucceeded { output: serde_json::Value::Null },
            EventKind::DeploymentFinished { outcome },
        ]
    }

    fn events(kinds: Vec<EventKind>) -> Vec<Event> {
        let event = |(kind, seq)| Event {
            deployment: DeploymentId::new("d1").unwrap(),
            seq,
            epoch: Epoch(1 + seq / 6),
            at: Timestamp::from_millis(seq),
            path: vec![StageId::new("rollout").unwrap()],
            kind,
        };
        kinds.into_iter().zip(0..).map(event).collect()
    }

    fn past(events: &[Event]) -> Option<Past> {
        plan(events).unwrap().past(&WorkloadId::new("web").unwrap())
    }

    #[test]
    fn every_prefix_says_what_comes_next() {
        let all = events(journal());
        let names: Vec<String> = (1..=all.len())
            .map(|length| {
                let progress = plan(&all[..length]).unwrap().progress;
                let run = progress.stages[0].forward.as_ref();
                match (next(&progress), progress.stages[0].phase, run) {
                    (Next::Stage(0), StagePhase::Waiting, _) => "stage".into(),
                    (Next::Stage(0), StagePhase::Running, None) => "rollout".into(),
                    (Next::Stage(0), StagePhase::Running, Some(run)) if run.outcome.is_some() => {
                        "end stage".into()
                    }
                    (Next::Stage(0), StagePhase::Running, Some(run)) => {
                        format!("{:?}", run.rollout.state.phase)
                    }
                    (Next::End(_), ..) => "end".into(),
                    (Next::Nothing(_), ..) => "nothing".into(),
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        let p = "Provisioning";
        let expected = [
            "stage",
            "rollout",
            "Preparing",
            "Preparing",
            p,
            p,
            p,
            p,
            "Retiring",
            "end stage",
            "end",
            "nothing",
        ];
        assert_eq!(names, expected);
        assert!(plan(&[]).is_err());
    }

    #[test]
    fn the_epoch_and_the_pinned_release_are_the_last_ones() {
        let all = events(journal());
        assert_eq!(past(&all[..4]), None);
        assert_eq!(&*past(&all[..5]).unwrap().pinned.artifact.digest, "sha");
        let recovery = plan(&all[..5]).unwrap();
        assert_eq!((recovery.epoch, past(&all[..5]).unwrap().is_live), (Epoch(1), false));
        let recovery_of_all = plan(&all).unwrap();
        assert_eq!((recovery_of_all.epoch, recovery_of_all.has_ended()), (Epoch(2), true));
        assert!(past(&all).unwrap().is_live);
    }

    #[test]
    fn a_release_that_only_had_old_sets_to_retire_counts_whatever_came_then() {
        let mut kinds = journal();
        kinds.truncate(9);
        kinds.push(EventKind::DeploymentFinished { outcome: Outcome::Superseded { by: "d2".into() } });
        assert!(past(&events(kinds)).unwrap().is_live);
        let mut kinds = journal();
        kinds.truncate(5);
        let mut back = state(Phase::Retiring);
        back.direction = Direction::Backward { cause: Cause::NoProgress { waiting_for: "it".into() } };
        kinds.push(advanced(back));
        assert!(!past(&events(kinds)).unwrap().is_live);
    }

    #[test]
    fn what_no_deployment_writes_is_refused() {
        let mut kinds = journal();
        for n in 1..kinds.len() {
            kinds.swap(n - 1, n);
            let follows = matches!(kinds[n - 1], EventKind::Interrupted { .. } | EventKind::Resumed { .. })
                || matches!(kinds[n], EventKind::Interrupted { .. } | EventKind::Resumed { .. })
                || matches!(
                    (&kinds[n - 1], &kinds[n]),
                    (EventKind::Advanced { .. }, EventKind::Intent { .. })
                )
                || matches!(
                    (&kinds[n - 1], &kinds[n]),
                    (EventKind::Intent { .. }, EventKind::Advanced { .. })
                );
            assert_eq!(plan(&events(kinds.clone())).is_ok(), follows, "swapped {} and {n}", n - 1);
            kinds.swap(n - 1, n);
        }
    }
}
