//! What a rollout is to put live.

use std::fmt;

use serde::Serialize;

use super::history::History;
use crate::{
    error::Problem,
    model::{Artifact, PinnedRelease, Release, ReleaseId, SetId},
    strategy::Vacate,
};

/// What a rollout is to put live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Wanted {
    /// This release.
    Release(Release),
    /// One that was live before, exactly as it was.
    Earlier(ReleaseId),
    /// The one that is live, exactly as it is: another number of replicas, or a repair.
    Current,
    /// Nothing: the workload is taken down, for this reason.
    Nothing(Vacate, String),
}

/// A release, and what it has to resolve to where that is known.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) release: Release,
    pub(super) pinned: Option<Artifact>,
}

impl Wanted {
    /// Finds the release in the past where it is not given.
    pub(super) fn resolve(&self, history: &History) -> Result<Resolved, Problem> {
        let found = match self {
            Self::Release(release) => return Ok(Resolved { release: release.clone(), pinned: None }),
            Self::Earlier(release) => {
                let found = history.release(release);
                found.map_err(|why| Problem::new("release", format!("no rollback target: {why}")))?
            }
            Self::Current => history.stable().ok_or_else(|| {
                let why = "no release is live as far as the journal knows; name the release to deploy";
                Problem::new("release", why)
            })?,
            Self::Nothing(..) => history.stable().or(history.newest.as_ref()).ok_or_else(|| {
                let why = "no release of this workload was ever resolved as far as the journal knows, so there is nothing to remove";
                Problem::new("workload", why)
            })?,
        };
        let PinnedRelease { release, artifact } = found.clone();
        Ok(Resolved { release, pinned: Some(artifact) })
    }

    /// The set that it is about, where that is known without the past.
    pub(super) fn set(&self) -> Option<SetId> {
        match self {
            Self::Release(Release { id, .. }) | Self::Earlier(id) => Some(SetId::from(id)),
            Self::Current | Self::Nothing(..) => None,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(Release { id, .. }) | Self::Earlier(id) => id.fmt(f),
            Self::Current => f.write_str("current"),
            Self::Nothing(..) => f.write_str("removal"),
        }
    }
}
