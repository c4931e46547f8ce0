//! How a run ended, and the film of it.

use std::time::Duration;

use deployer::{
    engine::Report,
    error::{DeployError, Problem},
    event::{Event, EventKind},
    model::Timestamp,
    strategy::{Cause, Command, Outcome, RolloutState},
};

use super::Film;

/// How a run ended, and everything that was seen of it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) result: Result<Report, DeployError>,
    pub(crate) film: Film,
    /// What the journal of the deployment has.
    pub(crate) events: Vec<Event>,
    pub(crate) began: Timestamp,
    pub(crate) took: Duration,
}

impl Ended {
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &Report {
        let report = self.result.as_ref().unwrap_or_else(|error| panic!("it did not succeed: {error}"));
        assert_eq!(report.outcome, Some(Outcome::Succeeded));
        report
    }

    #[track_caller]
    pub(crate) fn rolled_back(&self) -> &Cause {
        match &self.result {
            Err(DeployError::RolledBack { cause, .. }) => cause,
            other => panic!("not rolled back: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn aborted(&self) {
        let is_it = matches!(&self.result, Err(DeployError::Aborted { superseded_by: None, .. }));
        assert!(is_it, "not aborted: {:?}", self.result);
    }

    #[track_caller]
    pub(crate) fn superseded(&self) {
        let is_it = matches!(&self.result, Err(DeployError::Aborted { superseded_by: Some(_), .. }));
        assert!(is_it, "not superseded: {:?}", self.result);
    }

    #[track_caller]
    pub(crate) fn stuck(&self) -> &str {
        match &self.result {
            Err(DeployError::Stuck { why, .. }) => why,
            other => panic!("not stuck: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> &[Problem] {
        match &self.result {
            Err(DeployError::Refused(problems)) => problems,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The commands that were written down before they were done.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let intent = |event: &Event| match &event.kind {
            EventKind::Intent { commands, .. } => Some(commands.clone()),
            _ => None,
        };
        self.events.iter().filter_map(intent).flatten().collect()
    }

    /// The commands that are more than looking, in words.
    pub(crate) fn touches(&self) -> Vec<String> {
        let only_looks = |command: &Command| matches!(command, Command::Prepare(_) | Command::Evaluate(_));
        let commands = self.commands();
        commands.iter().filter(|command| !only_looks(command)).map(ToString::to_string).collect()
    }

    /// Everything that the rollout remembered, in order, with when it did.
    pub(crate) fn memories(&self) -> Vec<(Timestamp, RolloutState)> {
        let state = |event: &Event| match &event.kind {
            EventKind::RolloutStarted { state, .. } | EventKind::Advanced { state, .. } => {
                Some((event.at, (**state).clone()))
            }
            _ => None,
        };
        self.events.iter().filter_map(state).collect()
    }

    /// When the rollout turned round.
    #[track_caller]
    pub(crate) fn turned_at(&self) -> Timestamp {
        let memories = self.memories();
        let turned = memories.iter().find(|(_, state)| !state.is_forward());
        turned.unwrap_or_else(|| panic!("it never turned round: {:?}", self.result)).0
    }

    /// The film from when the rollout turned round.
    #[track_caller]
    pub(crate) fn way_back(&self) -> Film {
        self.film.since(self.turned_at())
    }
}
