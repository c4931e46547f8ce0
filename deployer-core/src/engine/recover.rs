//! Where a deployment stands, as its journal says. Pure.

use crate::{
    event::{Event, EventKind},
    model::{Artifact, DeploymentId, Epoch, PinnedRelease, Timestamp, WorkloadId},
    strategy::{Outcome, Phase, Plan, RolloutState},
};

/// What a rollout was started with and what it remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollout {
    pub(crate) plan: Plan,
    pub(crate) state: RolloutState,
}

/// What has to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// The stage has not begun.
    StartStage,
    /// The rollout has not begun.
    StartRollout,
    /// The rollout goes on.
    GoOn(Box<Rollout>),
    /// The rollout ended, the stage did not.
    EndStage(Outcome),
    /// All stages ended, the deployment did not.
    EndDeployment(Outcome),
    /// Nothing: it ended.
    Nothing(Outcome),
}

/// Where a deployment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recovery {
    pub(crate) deployment: DeploymentId,
    pub(crate) workload: WorkloadId,
    pub(crate) plan_hash: String,
    pub(crate) started_at: Timestamp,
    /// The epoch of its last event.
    pub(crate) epoch: Epoch,
    /// What its release resolved to, if it was prepared.
    pub(crate) pinned: Option<PinnedRelease>,
    /// The new release was it, whatever came then: only old sets were left to be retired.
    pub(crate) is_final: bool,
    pub(crate) next: Next,
}

impl Recovery {
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.next, Next::Nothing(_))
    }

    /// Its release is the one to go back to.
    pub(crate) fn succeeded(&self) -> bool {
        self.is_final || self.next == Next::Nothing(Outcome::Succeeded)
    }
}

/// Reads where a deployment stands.
///
/// # Errors
/// Events that no deployment writes in this order.
pub(crate) fn plan(events: &[Event]) -> Result<Recovery, String> {
    let [first, rest @ ..] = events else { return Err("it has no events".to_owned()) };
    let EventKind::DeploymentStarted { workload, plan_hash, .. } = &first.kind else {
        return Err("its first event does not start a deployment".to_owned());
    };
    let mut next = Next::StartStage;
    let (mut pinned, mut is_final) = (None, false);
    for event in rest {
        if let Next::Nothing(_) = next {
            return Err(format!("event {} follows the last one", event.seq));
        }
        next = follow(next, &event.kind).map_err(|why| format!("event {}: {why}", event.seq))?;
        if let Next::GoOn(rollout) = &next {
            pinned = pin(rollout).or(pinned);
            is_final = rollout.state.is_forward() && rollout.state.phase == Phase::Retiring;
        }
    }
    Ok(Recovery {
        deployment: first.deployment.clone(),
        workload: workload.clone(),
        plan_hash: plan_hash.clone(),
        started_at: first.at,
        epoch: events.last().map_or(first.epoch, |event| event.epoch),
        pinned,
        is_final,
        next,
    })
}

fn pin(rollout: &Rollout) -> Option<PinnedRelease> {
    let artifact: Artifact = rollout.state.artifact.clone()?;
    Some(PinnedRelease { release: rollout.plan.release.clone(), artifact })
}

fn follow(next: Next, kind: &EventKind) -> Result<Next, &'static str> {
    match (next, kind) {
        (_, EventKind::DeploymentFinished { outcome }) => Ok(Next::Nothing(outcome.clone())),
        (Next::StartStage, EventKind::StageStarted) => Ok(Next::StartRollout),
        (Next::StartRollout, EventKind::RolloutStarted { plan, state, .. }) => {
            Ok(Next::GoOn(Box::new(Rollout { plan: (**plan).clone(), state: (**state).clone() })))
        }
        (Next::GoOn(rollout), EventKind::Advanced { state, .. }) => {
            Ok(Next::GoOn(Box::new(Rollout { state: (**state).clone(), ..*rollout })))
        }
        (Next::GoOn(_), EventKind::RolloutFinished { outcome }) => Ok(Next::EndStage(outcome.clone())),
        (Next::EndStage(outcome), EventKind::StageSucceeded | EventKind::StageFailed { .. }) => {
            Ok(Next::EndDeployment(outcome))
        }
        (Next::GoOn(rollout), EventKind::Intent { .. }) => Ok(Next::GoOn(rollout)),
        (next, EventKind::Resumed { .. } | EventKind::Interrupted { .. }) => Ok(next),
        _ => Err("it does not follow from those before"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::{Release, ReleaseId, RolloutSettings, StageId, TargetCapabilities},
        strategy::{Cause, Command, Direction},
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
            workload: WorkloadId::new("web").unwrap(),
            stages: Vec::new(),
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
            EventKind::StageSucceeded,
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

    #[test]
    fn every_prefix_says_what_comes_next() {
        let all = events(journal());
        let names: Vec<String> = (1..=all.len())
            .map(|length| match plan(&all[..length]).unwrap().next {
                Next::GoOn(rollout) => format!("{:?}", rollout.state.phase),
                Next::StartStage => "stage".into(),
                Next::StartRollout => "rollout".into(),
                Next::EndStage(_) => "end stage".into(),
                Next::EndDeployment(_) => "end".into(),
                Next::Nothing(_) => "nothing".into(),
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
        assert_eq!(plan(&all[..4]).unwrap().pinned, None);
        let recovery = plan(&all[..5]).unwrap();
        assert_eq!(&*recovery.pinned.as_ref().unwrap().artifact.digest, "sha");
        assert_eq!((recovery.epoch, recovery.is_final, recovery.succeeded()), (Epoch(1), false, false));
        let recovery = plan(&all).unwrap();
        assert_eq!((recovery.epoch, recovery.has_ended(), recovery.succeeded()), (Epoch(2), true, true));
    }

    #[test]
    fn a_release_that_only_had_old_sets_to_retire_counts_whatever_came_then() {
        let mut kinds = journal();
        kinds.truncate(9);
        kinds.push(EventKind::DeploymentFinished { outcome: Outcome::Superseded { by: "d2".into() } });
        assert!(plan(&events(kinds)).unwrap().succeeded());
        let mut kinds = journal();
        kinds.truncate(5);
        let mut back = state(Phase::Retiring);
        back.direction = Direction::Backward { cause: Cause::NoProgress { waiting_for: "it".into() } };
        kinds.push(advanced(back));
        assert!(!plan(&events(kinds)).unwrap().succeeded());
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
