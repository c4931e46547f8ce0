//! Events as lines for people.

use std::fmt::{self, Write as _};

use super::{Event, EventKind, Resolution};
use crate::{
    model::{Timestamp, WorkloadId},
    strategy::Outcome,
};

/// The line of an event for people, without a line feed at its end; only evidence takes several, as it brings its log.
///
/// ```
/// # use deployer_core::{event::{self, Event, EventKind}, model::{DeploymentId, Epoch, StageId, Timestamp}};
/// # let event = Event {
/// #     deployment: DeploymentId::new("d1").unwrap(), seq: 1, epoch: Epoch(1),
/// #     at: Timestamp::from_millis(43_201_123), path: vec![StageId::new("rollout").unwrap()],
/// #     kind: EventKind::StageStarted,
/// # };
/// assert_eq!(event::line(&event), "12:00:01.123 rollout  starts");
/// ```
pub fn line(event: &Event) -> String {
    let mut line = format!("{} ", clock_time(event.at));
    for stage in &event.path {
        let _ = write!(line, "{stage} ");
    }
    let _ = write!(line, " {}", Text(&event.kind));
    line
}

fn clock_time(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('T').map_or_else(|| text.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}

/// What happened, in words, without time and place.
struct Text<'a>(&'a EventKind);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EventKind::DeploymentStarted { workloads, stages, owner, .. } => {
                let workloads: Vec<&str> = workloads.iter().map(WorkloadId::as_str).collect();
                write!(f, "deployment of {} starts, by {owner}: ", workloads.join(" and "))?;
                let names: Vec<&str> = stages.iter().map(|stage| stage.id.as_str()).collect();
                f.write_str(&names.join(", "))
            }
            EventKind::Resumed { owner } => write!(f, "goes on, by {owner}"),
            EventKind::StageStarted => f.write_str("starts"),
            EventKind::StageSucceeded { .. } => f.write_str("succeeded"),
            EventKind::StageFailed { message } => write!(f, "failed: {message}"),
            EventKind::UndoStarted => f.write_str("is being undone"),
            EventKind::UndoFinished => f.write_str("is undone"),
            EventKind::UndoFailed { message } => write!(f, "could not be undone: {message}"),
            EventKind::Requested { request } => {
                write!(f, "asked for: {}", request.kind)?;
                request.posted.as_ref().map_or(Ok(()), |posted| write!(f, ", by {}", posted.by))
            }
            EventKind::Resolved { resolution: Resolution::Retry, owner } => {
                write!(f, "what is stuck is tried again, by {owner}")
            }
            EventKind::Resolved { resolution: Resolution::Skip, owner } => {
                write!(f, "what is stuck counts as done, by {owner}")
            }
            EventKind::Resolved { resolution: Resolution::Abandon, owner } => {
                write!(f, "abandoned by {owner}")
            }
            EventKind::RolloutStarted { plan, state, .. } if state.is_removal() => {
                write!(f, "{} is taken down", plan.workload)
            }
            EventKind::RolloutStarted { plan, state, .. } if !state.is_forward() => {
                write!(f, "{} is taken back", plan.release.id)?;
                plan.stable_set.as_ref().map_or(Ok(()), |stable| write!(f, " to {stable}"))
            }
            EventKind::RolloutStarted { plan, strategy, .. } => {
                write!(f, "{strategy} rollout of {} to {} instances", plan.release.id, plan.replicas)?;
                plan.stable_set.as_ref().map_or(Ok(()), |stable| write!(f, ", replacing {stable}"))
            }
            EventKind::Advanced { why, .. } => f.write_str(why),
            EventKind::Intent { commands, .. } => {
                let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
                f.write_str(&commands.join(", "))
            }
            EventKind::RolloutFinished { outcome } | EventKind::DeploymentFinished { outcome } => {
                write!(f, "ended: {}", OutcomeText(outcome))
            }
            EventKind::Interrupted { why } => write!(f, "interrupted, can be resumed: {why}"),
            EventKind::Waiting { why, .. } => write!(f, "waits: {why}"),
            EventKind::Retrying { command, attempt, error } => {
                write!(f, "tries again to {command}, attempt {attempt}: {error}")
            }
            EventKind::EvidenceFound { instance, why, evidence } => {
                write!(f, "{instance} failed: {why}")?;
                evidence.exit.as_ref().map_or(Ok(()), |exit| write!(f, ", {exit}"))?;
                let lines = evidence.events.iter().map(String::as_str).chain(evidence.log.lines());
                lines.into_iter().try_for_each(|line| write!(f, "\n    {line}"))
            }
            EventKind::Note { message } => f.write_str(message),
        }
    }
}

/// An outcome in words.
pub(crate) struct OutcomeText<'a>(pub(crate) &'a Outcome);

impl fmt::Display for OutcomeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Succeeded => f.write_str("succeeded"),
            Outcome::RolledBack { cause } => write!(f, "rolled back: {cause}"),
            Outcome::Aborted { reason } => write!(f, "aborted: {reason}"),
            Outcome::Superseded { by } => write!(f, "superseded by {by}"),
            Outcome::Stuck { why, .. } => write!(f, "stuck: {why}"),
            Outcome::Refused { problems } => write!(f, "refused: {}", problems.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{DeploymentId, Epoch, Evidence, InstanceId, Member, SetId, Share, Split, StageId},
        strategy::{Command, WaitReason},
    };

    fn event(kind: EventKind) -> Event {
        Event {
            deployment: DeploymentId::new("d1").unwrap(),
            seq: 1,
            epoch: Epoch(1),
            at: Timestamp::from_millis(43_201_123),
            path: vec![StageId::new("rollout").unwrap()],
            kind,
        }
    }

    #[test]
    fn an_event_is_a_line() {
        let set = SetId::new("v2").unwrap();
        let why = WaitReason::Verifying { set: set.clone(), verified: 1, wanted: 4 };
        let waiting = line(&event(EventKind::Waiting { why, until: Timestamp::default() }));
        assert_eq!(waiting, "12:00:01.123 rollout  waits: 1 of 4 instances of v2 are verified");
        let members = vec![Member { instance: InstanceId::new("v2-1").unwrap(), address: None }];
        let split = Split::Serve { shares: vec![Share { set, weight: 1, members }], routes: Vec::new() };
        let commands = vec![Command::Shift(split)];
        let intent = EventKind::Intent { commands, why: "batch 1".into(), results: Vec::new() };
        assert_eq!(line(&event(intent)), "12:00:01.123 rollout  send traffic to v2 (weight 1, 1 instances)");
    }

    #[test]
    fn evidence_brings_its_log() {
        let evidence =
            Evidence { log: "a\nb".into(), exit: Some("exit code 1".into()), events: vec!["oom".into()] };
        let kind = EventKind::EvidenceFound {
            instance: InstanceId::new("v2-1").unwrap(),
            why: "it ended".into(),
            evidence,
        };
        let text = line(&event(kind));
        assert_eq!(text, "12:00:01.123 rollout  v2-1 failed: it ended, exit code 1\n    oom\n    a\n    b");
    }
}
