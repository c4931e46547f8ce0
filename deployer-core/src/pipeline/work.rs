//! What a stage does.

use std::future::Future;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::{StageContext, StageError};
use crate::error::Problem;

/// What a stage, or its undo, does, where that is more than a closure: [`Hook`](super::Hook) is one.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// Does it. What it returns is given to later stages, at most 64 KiB as JSON.
    ///
    /// # Errors
    /// It failed. Whatever it began is then undone, so an undo copes with a half-done run.
    ///
    /// # Cancel safety
    /// Being dropped equals a crash: the stage says what that means.
    async fn run(&self, context: StageContext) -> Result<Value, StageError>;

    /// What it does, in words. It is part of the plan: an unfinished deployment is resumed only if that is the same.
    fn describe(&self) -> String;

    /// What is wrong with it, found before anything begins.
    fn problems(&self) -> Vec<Problem>;
}

/// Work that is a closure.
pub(super) struct Closure<F>(pub(super) F);

#[async_trait]
impl<F, Doing, Output> Work for Closure<F>
where
    F: Fn(StageContext) -> Doing + Send + Sync + 'static,
    Doing: Future<Output = Result<Output, StageError>> + Send + 'static,
    Output: Serialize + Send + 'static,
{
    async fn run(&self, context: StageContext) -> Result<Value, StageError> {
        let output = (self.0)(context).await?;
        Ok(serde_json::to_value(output)?)
    }

    fn describe(&self) -> String {
        "code of its own".to_owned()
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// Finds out after a crash whether a stage was done.
#[async_trait]
pub(crate) trait DoneCheck: Send + Sync + 'static {
    /// `Some` of what the stage would have given if it was done, `None` if it has to run again.
    ///
    /// # Errors
    /// It could not be found out: a person has to look.
    async fn check(&self, context: StageContext) -> Result<Option<Value>, StageError>;
}

#[async_trait]
impl<F, Doing, Output> DoneCheck for Closure<F>
where
    F: Fn(StageContext) -> Doing + Send + Sync + 'static,
    Doing: Future<Output = Result<Option<Output>, StageError>> + Send + 'static,
    Output: Serialize + Send + 'static,
{
    async fn check(&self, context: StageContext) -> Result<Option<Value>, StageError> {
        let output = (self.0)(context).await?;
        Ok(output.map(serde_json::to_value).transpose()?)
    }
}
