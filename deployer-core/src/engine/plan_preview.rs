//! The whole deployment before its first action.

use std::fmt;

use super::{
    assemble::{Reading, assemble},
    history::History,
    parts::{Parts, RolloutParts, StageWork},
    start::Start,
};
use crate::{
    error::DeployError,
    event::{StageOutline, UndoKind},
    model::Epoch,
    strategy::{Command, Preview, preview},
};

/// One stage before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePreview {
    /// What is known of it: its name, what it does, how it is undone.
    pub outline: StageOutline,
    /// Every action of it, if it is a rollout.
    pub rollout: Option<Preview>,
}

/// What a deployment would do if nothing went wrong, or from some action on everything. Rollouts are shown action by
/// action, from the world as it is now; other stages by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentPreview {
    /// The stages that would begin, in order.
    pub stages: Vec<StagePreview>,
}

impl DeploymentPreview {
    /// The actions of all rollouts.
    pub fn actions(&self) -> impl Iterator<Item = &[Command]> {
        self.stages.iter().filter_map(|stage| stage.rollout.as_ref()).flat_map(Preview::actions)
    }
}

impl fmt::Display for DeploymentPreview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [StagePreview { rollout: Some(rollout), .. }] = &self.stages[..] {
            return rollout.fmt(f);
        }
        for (number, StagePreview { outline, rollout }) in self.stages.iter().enumerate() {
            let undo = match outline.undo {
                UndoKind::Rollout => "rolled back if a later stage fails",
                UndoKind::Action => "undone if it or a later stage fails",
                UndoKind::Nothing => "nothing to undo",
                UndoKind::Pivot => "the point of no return",
            };
            let line = if number == 0 { "" } else { "\n" };
            write!(f, "{line}stage {}: {} ({undo})", outline.id, outline.what)?;
            rollout.as_ref().map_or(Ok(()), |rollout| write!(f, "\n{rollout}"))?;
        }
        Ok(())
    }
}

/// Looks at the world once. With `failing_after` the rollout that would take this action is aborted there, and nothing
/// after it begins.
pub(super) async fn preview_of(
    parts: &Parts,
    failing_after: Option<usize>,
) -> Result<DeploymentPreview, DeployError> {
    let (mut stages, mut left) = (Vec::new(), failing_after);
    for (stage, outline) in parts.stages.iter().zip(parts.outline()) {
        let StageWork::Rollout(rollout) = &stage.work else {
            stages.push(StagePreview { outline, rollout: None });
            continue;
        };
        let whole = preview_rollout(parts, rollout, None).await?;
        let actions = whole.actions().count();
        let fails = left.filter(|left| *left < actions || parts.stages.len() == 1);
        let shown = match fails {
            Some(_) => preview_rollout(parts, rollout, fails).await?,
            None => whole,
        };
        stages.push(StagePreview { outline, rollout: Some(shown) });
        if fails.is_some() {
            break;
        }
        left = left.map(|left| left - actions);
    }
    Ok(DeploymentPreview { stages })
}

async fn preview_rollout(
    parts: &Parts,
    rollout: &RolloutParts,
    failing_after: Option<usize>,
) -> Result<Preview, DeployError> {
    let history = History::read(&*parts.tools.journal, &rollout.workload, &parts.pass_over).await;
    let history = history.map_err(DeployError::Refused)?;
    let context = parts.tools.context(&rollout.workload, &parts.id, Epoch::default());
    let start = Start::look(rollout, &context, &history).await.map_err(DeployError::Refused)?;
    let whole_sets = start.rollout.plan.router.as_ref().is_some_and(|router| !router.members);
    let reading = Reading { probed: false, whole_sets };
    let seen = assemble(&start.look, &start.memory, &[].into(), reading, start.at);
    let (plan, state) = (&start.rollout.plan, &start.rollout.state);
    Ok(preview(&*rollout.strategy, plan, state, &seen, failing_after))
}
