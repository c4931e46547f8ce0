//! What a run tells at its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::InstanceEvidence;
use crate::{
    event::{Event, EventKind, OutcomeText},
    model::{DeploymentId, InstancePhase, ReleaseId, SetId, StageId, Timestamp, WorkloadId},
    strategy::{Observation, Outcome, Seen},
};

/// The most entries of a timeline.
const LONGEST: usize = 500;

/// One moment of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// What was decided or done, in words.
    pub what: String,
}

/// How one stage went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageReport {
    /// Which stage.
    pub id: StageId,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, if it did.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// One set as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSet {
    /// Which set.
    pub set: SetId,
    /// Instances that run.
    pub running: u32,
    /// Instances in rotation; none without a router.
    pub in_rotation: u32,
    /// Parts of all requests that it gets; `None` where there is no router or it could not be asked.
    pub weight: Option<u32>,
}

/// How one rollout went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutReport {
    /// The stage that ran it.
    pub stage: StageId,
    /// Of what.
    pub workload: WorkloadId,
    /// The new release.
    pub release: ReleaseId,
    /// The release that was live before, if one was known.
    pub stable: Option<ReleaseId>,
    /// What was there at its end.
    pub live: Vec<LiveSet>,
}

/// What happened, what is live now, and what can be done.
///
/// Its `Display` is that for people, in several lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// Of what, sorted.
    pub workloads: Vec<WorkloadId>,
    /// How it ended; `None` if it was interrupted and can be resumed.
    pub outcome: Option<Outcome>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, or the last thing happened.
    pub finished_at: Timestamp,
    /// How often it was resumed.
    pub resumed: u32,
    /// Its stages, in the order in which they began.
    pub stages: Vec<StageReport>,
    /// What was decided and done; at most the first 500 entries.
    pub timeline: Vec<TimelineEntry>,
    /// How many decisions were remembered.
    pub decisions: u64,
    /// How many times something was done.
    pub actions: u64,
    /// Its rollouts, in the order in which they began.
    pub rollouts: Vec<RolloutReport>,
    /// What instances that failed left behind; at most five.
    pub evidence: Vec<InstanceEvidence>,
    /// Anything else worth knowing.
    pub notes: Vec<String>,
}

/// A report in the making.
#[derive(Debug)]
pub(crate) struct Tale(Report);

impl Tale {
    pub(super) fn new(deployment: &DeploymentId, now: Timestamp) -> Self {
        Self(Report {
            deployment: deployment.clone(),
            workloads: Vec::new(),
            outcome: None,
            started_at: now,
            finished_at: now,
            resumed: 0,
            stages: Vec::new(),
            timeline: Vec::new(),
            decisions: 0,
            actions: 0,
            rollouts: Vec::new(),
            evidence: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Takes in an event.
    pub(super) fn hear(&mut self, event: &Event) {
        let report = &mut self.0;
        report.finished_at = event.at;
        let stage = event.path.last();
        match &event.kind {
            EventKind::DeploymentStarted { workloads, .. } => {
                report.started_at = event.at;
                report.workloads.clone_from(workloads);
            }
            EventKind::Resumed { .. } => report.resumed += 1,
            EventKind::StageStarted => report.stages.extend(stage.map(|id| StageReport {
                id: id.clone(),
                started_at: event.at,
                finished_at: None,
                error: None,
            })),
            EventKind::StageSucceeded { .. } => report.end_stage(event, None),
            EventKind::StageFailed { message } => report.end_stage(event, Some(message.clone())),
            EventKind::RolloutStarted { plan, state, .. } if state.is_forward() => {
                report.rollouts.extend(stage.map(|stage| RolloutReport {
                    stage: stage.clone(),
                    workload: plan.workload.clone(),
                    release: plan.release.id.clone(),
                    stable: plan.stable_set.as_ref().map(SetId::release),
                    live: Vec::new(),
                }));
            }
            EventKind::UndoStarted => {
                report.mark(event.at, format!("undo {}", stage.map_or("", StageId::as_str)));
            }
            EventKind::Advanced { why, .. } => {
                report.decisions += 1;
                report.mark(event.at, why.clone());
            }
            EventKind::Intent { commands, .. } => {
                report.actions += 1;
                for command in commands {
                    report.mark(event.at, command.to_string());
                }
            }
            EventKind::EvidenceFound { instance, why, evidence } => report.evidence.push(InstanceEvidence {
                instance: instance.clone(),
                why: why.clone(),
                evidence: evidence.clone(),
            }),
            EventKind::Note { message } if report.notes.len() < LONGEST => report.notes.push(message.clone()),
            EventKind::DeploymentFinished { outcome } => report.outcome = Some(outcome.clone()),
            _ => {}
        }
    }

    /// What is there at the end of the rollout of a stage.
    pub(super) fn live(&mut self, stage: Option<&StageId>, seen: &Observation) {
        let mut rollouts = self.0.rollouts.iter_mut().rev();
        let rollout = rollouts.find(|rollout| Some(&rollout.stage) == stage);
        let (Some(rollout), Seen::Known(sets)) = (rollout, &seen.sets) else { return };
        let split = match &seen.traffic {
            Some(Seen::Known(traffic)) => Some(&traffic.split),
            _ => None,
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let live = sets.iter().map(|set| {
            let running = set
                .instances
                .iter()
                .filter(|instance| matches!(instance.phase, InstancePhase::Running { .. }));
            LiveSet {
                running: count(running.count()),
                in_rotation: count(set.instances.iter().filter(|instance| instance.in_rotation).count()),
                weight: split.map(|split| split.share(&set.set).map_or(0, |share| share.weight)),
                set: set.set.clone(),
            }
        });
        rollout.live = live.collect();
    }

    pub(super) fn into_report(self) -> Report {
        self.0
    }
}

impl Report {
    /// One line for each instance that failed.
    pub(super) fn clues(&self) -> Vec<String> {
        let clue = |found: &InstanceEvidence| {
            let last = found.evidence.log.lines().rev().find(|line| !line.trim().is_empty());
            let exit = found.exit().map(|exit| format!(", {exit}")).unwrap_or_default();
            let log = last.map(|line| format!(", last said: {}", line.chars().take(200).collect::<String>()));
            format!("{}: {}{exit}{}", found.instance, found.why, log.unwrap_or_default())
        };
        self.evidence.iter().map(clue).collect()
    }

    fn end_stage(&mut self, event: &Event, error: Option<String>) {
        let stage = self.stages.iter_mut().rev().find(|stage| Some(&stage.id) == event.path.last());
        if let Some(stage) = stage {
            stage.finished_at = Some(event.at);
            stage.error = error;
        }
    }

    fn mark(&mut self, at: Timestamp, what: String) {
        if self.timeline.len() < LONGEST {
            self.timeline.push(TimelineEntry { at, what });
        }
    }

    /// What it put live, or was to: `v2 of web`.
    fn subject(&self) -> String {
        let of = |rollout: &RolloutReport| format!("{} of {}", rollout.release, rollout.workload);
        let rollouts: Vec<_> = self.rollouts.iter().map(of).collect();
        if rollouts.is_empty() { format!("deployment {}", self.deployment) } else { rollouts.join(" and ") }
    }

    /// What a person can do now.
    fn advice(&self) -> String {
        let subject = self.subject();
        let stable: Vec<_> = self.rollouts.iter().filter_map(|rollout| rollout.stable.clone()).collect();
        match &self.outcome {
            Some(Outcome::Succeeded) if self.rollouts.is_empty() => {
                format!("nothing to do: {subject} did what it should")
            }
            Some(Outcome::Succeeded) => format!("nothing to do: {subject} is live"),
            Some(Outcome::RolledBack { .. } | Outcome::Aborted { .. }) if stable.is_empty() => {
                format!("nothing served before; mend {subject} and deploy it again")
            }
            Some(Outcome::RolledBack { .. } | Outcome::Aborted { .. }) => {
                let stable: Vec<_> = stable.iter().map(ReleaseId::as_str).collect();
                format!("{} serves as before; mend {subject} and deploy it again", stable.join(" and "))
            }
            Some(Outcome::Superseded { by }) => format!("look at {by}, which took over"),
            Some(Outcome::Stuck { .. }) if self.stages.len() > self.rollouts.len() => {
                "look at what is left and mend what keeps it; then retry, skip or abandon the stage".to_owned()
            }
            Some(Outcome::Stuck { .. }) => {
                "look at what is left, mend what keeps it, and deploy a release; what is left over is then retired".to_owned()
            }
            Some(Outcome::Refused { .. }) => "nothing was done; mend these problems and deploy again".to_owned(),
            None => "run the same deployment again to resume it".to_owned(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.subject())?;
        match &self.outcome {
            Some(outcome) => writeln!(f, "{}", OutcomeText(outcome))?,
            None => writeln!(f, "interrupted")?,
        }
        let took = self.finished_at.since(self.started_at);
        writeln!(
            f,
            "  deployment {}, began {}, took {took:?}, {} decisions, {} actions, resumed {} times",
            self.deployment, self.started_at, self.decisions, self.actions, self.resumed
        )?;
        for (rollout, set) in
            self.rollouts.iter().flat_map(|rollout| rollout.live.iter().map(move |set| (rollout, set)))
        {
            write!(f, "  live: {} of {} with {} running instances", set.set, rollout.workload, set.running)?;
            match set.weight {
                Some(weight) => writeln!(f, ", {} in rotation, weight {weight}", set.in_rotation)?,
                None => writeln!(f)?,
            }
        }
        if let Some(Outcome::Stuck { left, .. }) = &self.outcome {
            left.iter().try_for_each(|left| writeln!(f, "  left: {left}"))?;
        }
        for stage in &self.stages {
            stage
                .error
                .as_ref()
                .map_or(Ok(()), |error| writeln!(f, "  stage {} failed: {error}", stage.id))?;
        }
        for found in &self.evidence {
            write!(f, "  {} failed: {}", found.instance, found.why)?;
            found.exit().map_or(Ok(()), |exit| write!(f, ", {exit}"))?;
            writeln!(f)?;
            let lines = found.evidence.events.iter().map(String::as_str).chain(found.evidence.log.lines());
            lines.into_iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))?;
        write!(f, "  next: {}", self.advice())
    }
}
