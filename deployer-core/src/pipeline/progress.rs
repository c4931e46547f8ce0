//! How far a deployment is, as its events say. Pure: the same function follows a run and reads it after a crash.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    event::{CrashKind, Event, EventKind, Resolution, StageOutline},
    model::StageId,
    strategy::{Cause, Outcome, Phase, Plan, RequestKind, RolloutState},
};

/// What a rollout was started with and what it remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollout {
    pub(crate) plan: Plan,
    pub(crate) state: RolloutState,
}

/// A rollout, and how it ended if it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RolloutRun {
    pub(crate) rollout: Rollout,
    pub(crate) outcome: Option<Outcome>,
}

/// How far one stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StagePhase {
    Waiting,
    Running,
    Succeeded,
    Failed,
    Skipped,
    Undoing,
    Undone,
    UndoFailed,
}

/// What is known of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageProgress {
    pub(crate) outline: StageOutline,
    pub(crate) phase: StagePhase,
    pub(crate) output: Option<Value>,
    /// Why it, or its undo, failed.
    pub(crate) message: String,
    /// Its rollout.
    pub(crate) forward: Option<RolloutRun>,
    /// The undo of its rollout.
    pub(crate) backward: Option<RolloutRun>,
}

impl StageProgress {
    /// The release that it put live is the one to go back to, whatever came then: at most old sets were left to be
    /// retired.
    pub(crate) fn is_live(&self) -> bool {
        let Some(RolloutRun { rollout, outcome }) = &self.forward else { return false };
        let is_removal = rollout.state.is_removal();
        let is_final = rollout.state.is_forward() && rollout.state.phase == Phase::Retiring;
        let is_taken_back = matches!(self.phase, StagePhase::Undoing | StagePhase::Undone);
        (is_final || *outcome == Some(Outcome::Succeeded)) && !is_taken_back && !is_removal
    }

    /// It took its workload down.
    pub(crate) fn is_removed(&self) -> bool {
        let run = self.forward.as_ref();
        run.is_some_and(|run| run.rollout.state.is_removal() && run.outcome == Some(Outcome::Succeeded))
    }

    /// The run of its rollout that is under way.
    fn run(&mut self) -> Option<&mut RolloutRun> {
        match self.phase {
            StagePhase::Undoing => self.backward.as_mut(),
            _ => self.forward.as_mut(),
        }
    }
}

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) stages: Vec<StageProgress>,
    /// The stage that failed, and so turned it round.
    pub(crate) failed: Option<usize>,
    /// Why a person turned it round.
    pub(crate) aborted: Option<String>,
    /// A person has it wait between two stages.
    pub(crate) paused: bool,
    /// Number of the last request that was taken in.
    pub(crate) last_request: u64,
    /// Number of the last request of another process that was taken in.
    pub(crate) last_posted: u64,
    pub(crate) ended: Option<Outcome>,
}

impl Progress {
    /// Before its first stage.
    pub(crate) fn begin(stages: &[StageOutline]) -> Self {
        let stage = |outline: &StageOutline| StageProgress {
            outline: outline.clone(),
            phase: StagePhase::Waiting,
            output: None,
            message: String::new(),
            forward: None,
            backward: None,
        };
        Self {
            stages: stages.iter().map(stage).collect(),
            failed: None,
            aborted: None,
            paused: false,
            last_request: 0,
            last_posted: 0,
            ended: None,
        }
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// No deployment writes it here.
    pub(crate) fn follow(&mut self, event: &Event) -> Result<(), &'static str> {
        match (&self.ended, &event.kind) {
            (Some(Outcome::Stuck { .. }), EventKind::Resolved { resolution, .. }) => {
                return self.resolve(*resolution);
            }
            (Some(_), _) => return Err("it follows the last one"),
            (None, EventKind::DeploymentFinished { outcome }) => self.ended = Some(outcome.clone()),
            (None, EventKind::Resumed { .. } | EventKind::Interrupted { .. }) => {}
            (None, EventKind::Requested { request }) => {
                self.last_request = self.last_request.max(request.number);
                let posted = request.posted.as_ref().map_or(0, |posted| posted.number);
                self.last_posted = self.last_posted.max(posted);
                match &request.kind {
                    RequestKind::Pause => self.paused = true,
                    RequestKind::Resume => self.paused = false,
                    RequestKind::Abort { reason } => {
                        self.paused = false;
                        self.aborted = Some(reason.clone());
                    }
                    _ => {}
                }
            }
            (None, kind) => return self.follow_stage(event.path.last(), kind),
        }
        Ok(())
    }

    /// What stages have given so far.
    pub(crate) fn outputs(&self) -> BTreeMap<StageId, Value> {
        let given = |stage: &StageProgress| Some((stage.outline.id.clone(), stage.output.clone()?));
        self.stages.iter().filter_map(given).collect()
    }

    /// Why it goes back, if it does.
    pub(crate) fn cause(&self) -> Option<Cause> {
        if let Some(reason) = &self.aborted {
            return Some(Cause::AbortRequested { reason: reason.clone() });
        }
        let failed = &self.stages[self.failed?];
        let (stage, reason) = (failed.outline.id.clone(), failed.message.clone());
        Some(match failed.forward.as_ref().and_then(|run| run.outcome.as_ref()) {
            Some(Outcome::RolledBack { cause }) => cause.clone(),
            Some(Outcome::Aborted { reason }) => Cause::AbortRequested { reason: reason.clone() },
            _ => Cause::StageFailed { stage, reason },
        })
    }

    fn follow_stage(&mut self, stage: Option<&StageId>, kind: &EventKind) -> Result<(), &'static str> {
        let index = self.stages.iter().position(|known| Some(&known.outline.id) == stage);
        let index = index.ok_or("it is of a stage that the first event does not list")?;
        let is_next = self.cause().is_none()
            && self.stages[..index]
                .iter()
                .all(|stage| matches!(stage.phase, StagePhase::Succeeded | StagePhase::Skipped));
        let stage = &mut self.stages[index];
        match (stage.phase, kind) {
            (StagePhase::Waiting, EventKind::StageStarted) if is_next => stage.phase = StagePhase::Running,
            (StagePhase::Running, EventKind::StageSucceeded { output }) => {
                stage.phase = StagePhase::Succeeded;
                stage.output = Some(output.clone());
            }
            (StagePhase::Running, EventKind::StageFailed { message }) => {
                stage.phase = StagePhase::Failed;
                stage.message.clone_from(message);
                self.failed = Some(index);
            }
            (StagePhase::Running | StagePhase::Failed | StagePhase::Succeeded, EventKind::UndoStarted) => {
                stage.phase = StagePhase::Undoing;
            }
            (StagePhase::Undoing, EventKind::UndoFinished) => stage.phase = StagePhase::Undone,
            (StagePhase::Undoing, EventKind::UndoFailed { message }) => {
                stage.phase = StagePhase::UndoFailed;
                stage.message.clone_from(message);
            }
            (StagePhase::Running | StagePhase::Undoing, kind) => return self.follow_rollout(index, kind),
            _ => return Err("it does not follow from those before"),
        }
        Ok(())
    }

    fn follow_rollout(&mut self, index: usize, kind: &EventKind) -> Result<(), &'static str> {
        let stage = &mut self.stages[index];
        let is_rollout = stage.outline.after_crash == CrashKind::GoesOn;
        match (kind, stage.run()) {
            (EventKind::RolloutStarted { plan, state, .. }, None) if is_rollout => {
                let rollout = Rollout { plan: (**plan).clone(), state: (**state).clone() };
                let run = Some(RolloutRun { rollout, outcome: None });
                if stage.phase == StagePhase::Undoing { stage.backward = run } else { stage.forward = run }
            }
            (EventKind::Advanced { state, .. }, Some(run)) if run.outcome.is_none() => {
                run.rollout.state = (**state).clone();
                self.last_request = self.last_request.max(state.last_request);
                self.last_posted = self.last_posted.max(state.last_posted);
            }
            (EventKind::Intent { .. }, Some(run)) if run.outcome.is_none() => {}
            (EventKind::RolloutFinished { outcome }, Some(run)) if run.outcome.is_none() => {
                run.outcome = Some(outcome.clone());
            }
            _ => return Err("it does not follow from those before"),
        }
        Ok(())
    }

    /// The stage that a person is asked about: the first that neither ended well nor waits for its turn.
    pub(crate) fn stuck_stage(&self) -> Option<usize> {
        let undo = self.stages.iter().position(|stage| stage.phase == StagePhase::UndoFailed);
        let open = |stage: &StageProgress| {
            matches!(stage.phase, StagePhase::Running | StagePhase::Failed | StagePhase::Undoing)
        };
        undo.or(self.failed).or_else(|| self.stages.iter().position(open))
    }

    fn resolve(&mut self, resolution: Resolution) -> Result<(), &'static str> {
        if resolution == Resolution::Abandon {
            self.ended = Some(Outcome::Aborted { reason: "abandoned by a person".to_owned() });
            return Ok(());
        }
        self.ended = None;
        let index = self.stuck_stage().ok_or("there is no stage to decide on")?;
        let stage = &mut self.stages[index];
        let is_undo = matches!(stage.phase, StagePhase::UndoFailed | StagePhase::Undoing);
        stage.phase = match (is_undo, resolution) {
            (true, Resolution::Retry) => StagePhase::Undoing,
            (true, _) => StagePhase::Undone,
            (false, Resolution::Retry) => StagePhase::Waiting,
            (false, _) => StagePhase::Skipped,
        };
        if is_undo {
            stage.backward = None;
        } else {
            stage.forward = None;
            self.failed = None;
        }
        Ok(())
    }
}
