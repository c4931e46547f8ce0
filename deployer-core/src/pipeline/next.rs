//! What comes next in a pipeline. Pure.

use super::progress::{Progress, StagePhase, StageProgress};
use crate::{
    event::UndoKind,
    strategy::{Cause, Outcome},
};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// This stage begins, or goes on.
    Stage(usize),
    /// This stage is undone, or its undo goes on.
    Undo(usize),
    /// The deployment ends.
    End(Outcome),
    /// It has ended.
    Nothing(Outcome),
}

/// What comes next.
pub(crate) fn next(progress: &Progress) -> Next {
    if let Some(outcome) = &progress.ended {
        return Next::Nothing(outcome.clone());
    }
    let Some(cause) = progress.cause() else {
        let open = |stage: &StageProgress| matches!(stage.phase, StagePhase::Waiting | StagePhase::Running);
        return progress.stages.iter().position(open).map_or(Next::End(Outcome::Succeeded), Next::Stage);
    };
    if let Some(outcome) = own_end(progress) {
        return Next::End(outcome);
    }
    if let Some(stage) = progress.stages.iter().find(|stage| stage.phase == StagePhase::UndoFailed) {
        let why = format!(
            "{cause}; stage {} could not be undone: {}; mend it, then retry, skip or abandon",
            stage.outline.id, stage.message
        );
        return Next::End(stuck(progress, why));
    }
    if let Some(pivot) = pivot(progress) {
        let failed = progress.failed.filter(|index| needs_undo(&progress.stages[*index]));
        let why = format!(
            "{cause}; nothing before it is undone, as stage {} is the point of no return; mend it, then retry, skip or abandon",
            progress.stages[pivot].outline.id
        );
        return failed.map_or_else(|| Next::End(stuck(progress, why)), Next::Undo);
    }
    progress.stages.iter().rposition(needs_undo).map_or_else(|| Next::End(end(progress, cause)), Next::Undo)
}

/// Whether its point of no return is passed: aborting comes too late.
pub(crate) fn pivot(progress: &Progress) -> Option<usize> {
    progress.stages.iter().rposition(|stage| {
        stage.outline.undo == UndoKind::Pivot
            && !matches!(stage.phase, StagePhase::Waiting | StagePhase::Skipped)
    })
}

/// A rollout that a person has to look at, or that another deployment took over, ends everything.
fn own_end(progress: &Progress) -> Option<Outcome> {
    let failed = &progress.stages[progress.failed?];
    let outcome = failed.forward.as_ref()?.outcome.clone()?;
    matches!(outcome, Outcome::Stuck { .. } | Outcome::Superseded { .. }).then_some(outcome)
}

fn needs_undo(stage: &StageProgress) -> bool {
    let was_done = matches!(stage.phase, StagePhase::Undoing | StagePhase::Succeeded);
    match stage.outline.undo {
        UndoKind::Action => was_done || matches!(stage.phase, StagePhase::Running | StagePhase::Failed),
        // One that failed has gone back by itself.
        UndoKind::Rollout => was_done,
        UndoKind::Nothing | UndoKind::Pivot => false,
    }
}

/// How a way back is called that went well.
fn end(progress: &Progress, cause: Cause) -> Outcome {
    let first_refused = progress.failed == Some(0);
    let own = progress.failed.and_then(|index| progress.stages[index].forward.as_ref()?.outcome.clone());
    match (cause, own) {
        (_, Some(refused @ Outcome::Refused { .. })) if first_refused => refused,
        (Cause::AbortRequested { reason }, _) => Outcome::Aborted { reason },
        (cause, _) => Outcome::RolledBack { cause },
    }
}

pub(crate) fn stuck(progress: &Progress, why: String) -> Outcome {
    let left = progress.stages.iter().filter_map(|stage| {
        let how = match stage.phase {
            StagePhase::Waiting | StagePhase::Undone => return None,
            StagePhase::Running => "was begun",
            StagePhase::Succeeded => "was done",
            StagePhase::Failed => "failed",
            StagePhase::Skipped => "was skipped",
            StagePhase::Undoing => "is half undone",
            StagePhase::UndoFailed => "could not be undone",
        };
        Some(format!("stage {} {how}", stage.outline.id))
    });
    Outcome::Stuck { why, left: left.collect() }
}
