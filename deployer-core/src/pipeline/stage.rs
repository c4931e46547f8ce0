//! One stage, and what has to be said of it.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    StageContext, StageError, Work,
    work::{Closure, DoneCheck},
};
use crate::{
    error::Problem,
    event::{CrashKind, StageOutline, UndoKind},
    model::StageId,
};

/// How long a stage may take if nothing else is said: the progress deadline of Kubernetes.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// One stage of a pipeline.
///
/// What it does is said first, then how it is undone, then what a crash in the middle of it means. Leaving one of them
/// out does not compile:
///
/// ```
/// use deployer_core::pipeline::{Hook, Stage};
///
/// let migrate = Stage::of("migrate", Hook::new("/srv/web/migrate").arg("up"))
///     .undo_by(Hook::new("/srv/web/migrate").arg("down"))
///     .repeatable();
/// let warm = Stage::new("warm", |context| async move {
///     context.note("warming the cache");
///     Ok(())
/// })
/// .no_undo()
/// .repeatable();
/// # let _ = (migrate, warm);
/// ```
///
/// ```compile_fail
/// # use deployer_core::pipeline::{Hook, Pipeline, Stage};
/// // How is it undone? And what if the process dies in the middle?
/// let pipeline = Pipeline::builder("shop").stage(Stage::of("migrate", Hook::new("/srv/web/migrate")));
/// ```
pub struct Stage {
    pub(crate) id: Option<StageId>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) run: Arc<dyn Work>,
    pub(crate) undo: UndoWork,
    pub(crate) after_crash: AfterCrash,
    pub(crate) deadline: Duration,
    pub(crate) destructive: bool,
    pub(crate) makes_backup: bool,
}

pub(crate) enum UndoWork {
    Action(Arc<dyn Work>),
    Nothing,
    Pivot,
}

pub(crate) enum AfterCrash {
    Repeat,
    Check(Arc<dyn DoneCheck>),
    AskPerson,
}

/// A stage of which it has to be said how it is undone.
#[must_use = "say how it is undone: `undo`, `no_undo` or `pivot`"]
pub struct StageWithoutUndo {
    id: Option<StageId>,
    problems: Vec<Problem>,
    run: Arc<dyn Work>,
}

/// A stage of which it has to be said what a crash in the middle of it means.
#[must_use = "say what a crash means: `repeatable`, `done_if` or `ask_after_crash`"]
pub struct StageWithoutCrash {
    stage: StageWithoutUndo,
    undo: UndoWork,
}

impl Stage {
    /// A stage of this name that runs this code. What the code returns is given to later stages.
    #[expect(clippy::new_ret_no_self, reason = "a stage is one only once all has been said")]
    pub fn new<Doing, Output>(
        id: impl TryInto<StageId, Error: fmt::Display>,
        run: impl Fn(StageContext) -> Doing + Send + Sync + 'static,
    ) -> StageWithoutUndo
    where
        Doing: Future<Output = Result<Output, StageError>> + Send + 'static,
        Output: Serialize + Send + 'static,
    {
        Self::of(id, Closure(run))
    }

    /// A stage of this name that does this work: a [`Hook`](super::Hook), or yours.
    pub fn of(id: impl TryInto<StageId, Error: fmt::Display>, run: impl Work) -> StageWithoutUndo {
        let mut problems = Vec::new();
        let id = id.try_into().map_err(|error| problems.push(Problem::new("stage", error.to_string()))).ok();
        StageWithoutUndo { id, problems, run: Arc::new(run) }
    }

    /// How long it may take; after that it has failed. Its undo may take as long. Default 10 min.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// It destroys data: a pipeline in which no [backup](super::Stage::backup) comes before it is refused.
    #[must_use]
    pub fn destructive(mut self) -> Self {
        self.destructive = true;
        self
    }

    /// What is wrong with what it does.
    pub(crate) fn found(&self) -> Vec<Problem> {
        let mut found = self.run.problems();
        if let UndoWork::Action(undo) = &self.undo {
            let undo = undo.problems().into_iter();
            found.extend(undo.map(|problem| Problem { at: format!("undo: {}", problem.at), ..problem }));
        }
        if self.deadline.is_zero() {
            found.push(Problem::new("deadline", "nothing is done in no time"));
        }
        found
    }

    pub(crate) fn outline(&self, id: StageId) -> StageOutline {
        StageOutline {
            id,
            what: self.run.describe(),
            workload: None,
            undo: match self.undo {
                UndoWork::Action(_) => UndoKind::Action,
                UndoWork::Nothing => UndoKind::Nothing,
                UndoWork::Pivot => UndoKind::Pivot,
            },
            after_crash: match self.after_crash {
                AfterCrash::Repeat => CrashKind::Repeated,
                AfterCrash::Check(_) => CrashKind::Checked,
                AfterCrash::AskPerson => CrashKind::AskPerson,
            },
        }
    }
}

impl StageWithoutUndo {
    /// If this stage or one after it fails, this code takes it back. It runs for the stage that failed too, so it copes
    /// with a half-done run, and running it twice is running it once.
    pub fn undo<Doing, Output>(
        self,
        undo: impl Fn(StageContext) -> Doing + Send + Sync + 'static,
    ) -> StageWithoutCrash
    where
        Doing: Future<Output = Result<Output, StageError>> + Send + 'static,
        Output: Serialize + Send + 'static,
    {
        self.undo_by(Closure(undo))
    }

    /// Like [`undo`](Self::undo), by this work.
    pub fn undo_by(self, undo: impl Work) -> StageWithoutCrash {
        StageWithoutCrash { stage: self, undo: UndoWork::Action(Arc::new(undo)) }
    }

    /// There is nothing to undo: it changes nothing that matters.
    pub fn no_undo(self) -> StageWithoutCrash {
        StageWithoutCrash { stage: self, undo: UndoWork::Nothing }
    }

    /// The point of no return. From its start on no stage before it is undone: what fails then is stuck, and a person
    /// decides. What can fail harmlessly belongs into a stage before.
    pub fn pivot(self) -> StageWithoutCrash {
        StageWithoutCrash { stage: self, undo: UndoWork::Pivot }
    }
}

impl StageWithoutCrash {
    /// After a crash it runs again from its beginning: doing it twice is doing it once.
    pub fn repeatable(self) -> Stage {
        self.finish(AfterCrash::Repeat)
    }

    /// After a crash this finds out whether it was done; if not it runs again.
    ///
    /// It returns `Some` of what the stage would have given if it was done, and `None` if it was not. If it cannot find
    /// out, a person has to look.
    pub fn done_if<Doing, Output>(
        self,
        check: impl Fn(StageContext) -> Doing + Send + Sync + 'static,
    ) -> Stage
    where
        Doing: Future<Output = Result<Option<Output>, StageError>> + Send + 'static,
        Output: Serialize + Send + 'static,
    {
        self.finish(AfterCrash::Check(Arc::new(Closure(check))))
    }

    /// After a crash in the middle the deployment is stuck until a person says
    /// [retry, skip or abandon](crate::event::Resolution).
    pub fn ask_after_crash(self) -> Stage {
        self.finish(AfterCrash::AskPerson)
    }

    fn finish(self, after_crash: AfterCrash) -> Stage {
        let StageWithoutUndo { id, problems, run } = self.stage;
        let undo = self.undo;
        Stage {
            id,
            problems,
            run,
            undo,
            after_crash,
            deadline: DEADLINE,
            destructive: false,
            makes_backup: false,
        }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage({:?}, {})", self.id, self.run.describe())
    }
}

impl fmt::Debug for StageWithoutUndo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StageWithoutUndo({:?})", self.id)
    }
}

impl fmt::Debug for StageWithoutCrash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StageWithoutCrash({:?})", self.stage.id)
    }
}
