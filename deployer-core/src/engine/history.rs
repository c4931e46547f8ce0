//! What the journals of a workload say of its past.

use super::{
    parts::KnownReleases,
    recover::{Past, Recovery, plan},
};
use crate::{
    event::Event,
    model::{PinnedRelease, Release, ReleaseId, SetId, WorkloadId},
    ports::{Journal, JournalError},
};

/// How many succeeded releases are the history.
pub(super) const SUCCEEDED: usize = 10;
/// How many deployments are looked at even if enough have succeeded: their sets may be left over.
const LOOKED_AT: usize = 30;

/// What the journals of a workload say of its past.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The newest deployment that could be read, if it has not ended: the only one that may go on.
    pub(super) open: Option<(Recovery, Vec<Event>)>,
    /// The newest deployment, if a person has to look at it.
    pub(super) stuck: Option<(Recovery, Vec<Event>)>,
    /// Older ones that have not ended, newest first.
    pub(super) abandoned: Vec<(Recovery, Vec<Event>)>,
    /// The last succeeded releases, newest first, each once.
    pub(crate) succeeded: Vec<PinnedRelease>,
    /// The newest release that was resolved, whatever became of it.
    pub(super) newest: Option<PinnedRelease>,
    /// The workload was taken down since the last of them was live.
    pub(super) is_removed: bool,
    /// All releases that were resolved, the newest under each name.
    pub(super) known: KnownReleases,
    /// What could not be read.
    pub(super) notes: Vec<String>,
}

impl History {
    /// Reads the journals, newest first. Those that cannot be read are noted and never block.
    pub(crate) async fn read(journal: &dyn Journal, workload: &WorkloadId) -> Result<Self, JournalError> {
        let mut history = Self::default();
        let mut newest = true;
        let deployments = journal.list(workload).await?;
        for (looked_at, deployment) in deployments.iter().rev().enumerate() {
            if looked_at >= LOOKED_AT && history.succeeded.len() >= SUCCEEDED {
                break;
            }
            let events = match journal.load(deployment).await {
                Ok(events) => events,
                Err(error) => {
                    history.notes.push(format!("the journal of {deployment} is passed over: {error}"));
                    continue;
                }
            };
            match plan(&events) {
                Ok(recovery) => history.take_in(workload, recovery, events, std::mem::take(&mut newest)),
                Err(why) => {
                    history.notes.push(format!("the journal of {deployment} is passed over: {why}"));
                }
            }
        }
        Ok(history)
    }

    fn take_in(&mut self, workload: &WorkloadId, recovery: Recovery, events: Vec<Event>, newest: bool) {
        if let Some(Past { pinned, is_live, is_removed }) = recovery.past(workload) {
            self.is_removed |= is_removed && self.succeeded.is_empty();
            self.newest.get_or_insert_with(|| pinned.clone());
            let is_new = self.succeeded.iter().all(|known| known.release.id != pinned.release.id);
            if is_live && is_new && self.succeeded.len() < SUCCEEDED {
                self.succeeded.push(pinned.clone());
            }
            self.known.entry(SetId::from(&pinned.release.id)).or_insert(pinned);
        }
        match (recovery.has_ended(), newest) {
            (true, true) if recovery.is_stuck() => self.stuck = Some((recovery, events)),
            (true, _) => {}
            (false, true) => self.open = Some((recovery, events)),
            (false, false) => self.abandoned.push((recovery, events)),
        }
    }

    /// The release that is live as far as journals know.
    pub(crate) fn stable(&self) -> Option<&PinnedRelease> {
        self.succeeded.first().filter(|_| !self.is_removed)
    }

    /// The release of this name, if it was live.
    ///
    /// # Errors
    /// What there is instead.
    pub(crate) fn release(&self, release: &ReleaseId) -> Result<&PinnedRelease, String> {
        let found = self.succeeded.iter().find(|known| known.release.id == *release);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.succeeded.iter().map(|known| known.release.id.as_str()).collect();
            if names.is_empty() {
                return format!("no release was live yet, so {release} was not");
            }
            format!(
                "{release} is not among the last {SUCCEEDED} releases that were live; there is {}",
                names.join(", ")
            )
        })
    }

    /// Whether this release was live a little while ago, and is not now.
    pub(super) fn is_return(&self, release: &Release, window: u32) -> bool {
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        !self.is_removed && self.succeeded.iter().skip(1).take(window).any(|known| known.release == *release)
    }
}
