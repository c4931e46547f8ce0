//! A stage as the journal knows it.

use serde::{Deserialize, Serialize};

use crate::model::{StageId, WorkloadId};

/// How a stage is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UndoKind {
    /// A rollout: it goes back by itself, and is rolled back if a later stage fails.
    Rollout,
    /// By what its author gave.
    Action,
    /// There is nothing to undo.
    Nothing,
    /// It is the point of no return: from its start on nothing before it is undone.
    Pivot,
}

/// What a crash in the middle of a stage means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CrashKind {
    /// A rollout goes on where it was.
    GoesOn,
    /// It runs again from its beginning.
    Repeated,
    /// It is looked whether it was done, and runs again if not.
    Checked,
    /// A person has to look: retry, skip or abandon.
    AskPerson,
}

/// A stage as the first event lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOutline {
    /// Its name.
    pub id: StageId,
    /// What it does, in words.
    pub what: String,
    /// The workload that it puts live, if it is a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadId>,
    /// How it is undone.
    pub undo: UndoKind,
    /// What a crash in the middle of it means.
    pub after_crash: CrashKind,
}

/// What a person decides about a deployment that is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The stage, or its undo, runs again from its beginning.
    Retry,
    /// The stage, or its undo, counts as done: a person did it, or it is not needed.
    Skip,
    /// The deployment ends where it stands.
    Abandon,
}
