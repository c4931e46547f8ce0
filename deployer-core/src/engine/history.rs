//! What the journals of a workload say of its past.

use super::{
    parts::KnownReleases,
    recover::{Past, Recovery, plan},
};
use crate::{
    error::{Problem, report},
    event::Event,
    model::{DeploymentId, PinnedRelease, Release, SetId, WorkloadId},
    ports::Journal,
};

/// How many succeeded releases are the history.
pub(super) const SUCCEEDED: usize = 10;
/// How many deployments are looked at even if enough have succeeded: their sets may be left over.
const LOOKED_AT: usize = 30;

/// What the journals of a workload say of its past.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The newest deployment that could be read, if it has not ended: the only one that may go on.
    pub(super) open: Option<(Recovery, Vec<Event>)>,
    /// The newest deployment, if a person has to look at it.
    pub(super) stuck: Option<(Recovery, Vec<Event>)>,
    /// Older ones that have not ended, newest first.
    pub(super) abandoned: Vec<(Recovery, Vec<Event>)>,
    /// The last succeeded releases, newest first, each once.
    pub(super) succeeded: Vec<PinnedRelease>,
    /// All releases that were resolved, the newest under each name.
    pub(super) known: KnownReleases,
    /// What could not be read and does not count.
    pub(super) notes: Vec<String>,
}

impl History {
    /// Reads the journals, newest first.
    ///
    /// One that cannot be read may be the one that is under way, or say what is live and whether it went back. It is
    /// passed over only where a newer deployment succeeded, which had all that counts, or where that was asked for.
    ///
    /// # Errors
    /// Every journal that cannot be read and may count, by name.
    pub(super) async fn read(
        journal: &dyn Journal,
        workload: &WorkloadId,
        pass_over: &[DeploymentId],
    ) -> Result<Self, Vec<Problem>> {
        let mut history = Self::default();
        let (mut newest, mut unreadable) = (true, Vec::new());
        let deployments = journal.list(workload).await;
        let deployments = deployments.map_err(|error| vec![Problem::new("journal", report(&error))])?;
        for (looked_at, deployment) in deployments.iter().rev().enumerate() {
            if looked_at >= LOOKED_AT && history.succeeded.len() >= SUCCEEDED {
                break;
            }
            match read_one(journal, deployment).await {
                Ok((recovery, events)) => {
                    history.take_in(workload, recovery, events, std::mem::take(&mut newest));
                }
                Err(why) if pass_over.contains(deployment) || !history.succeeded.is_empty() => {
                    history.notes.push(format!("the journal of {deployment} is passed over: {why}"));
                }
                Err(why) => unreadable.push(refusal(deployment, &why)),
            }
        }
        if unreadable.is_empty() { Ok(history) } else { Err(unreadable) }
    }

    fn take_in(&mut self, workload: &WorkloadId, recovery: Recovery, events: Vec<Event>, newest: bool) {
        if let Some(Past { pinned, is_live }) = recovery.past(workload) {
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
    pub(super) fn stable(&self) -> Option<&PinnedRelease> {
        self.succeeded.first()
    }

    /// Whether this release was live a little while ago, and is not now.
    pub(super) fn is_return(&self, release: &Release, window: u32) -> bool {
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        self.succeeded.iter().skip(1).take(window).any(|known| known.release == *release)
    }
}

async fn read_one(
    journal: &dyn Journal,
    deployment: &DeploymentId,
) -> Result<(Recovery, Vec<Event>), String> {
    let events = journal.load(deployment).await.map_err(|error| report(&error))?;
    let recovery = plan(&events)?;
    if recovery.deployment != *deployment {
        return Err(format!("it is the journal of {}", recovery.deployment));
    }
    Ok((recovery, events))
}

fn refusal(deployment: &DeploymentId, why: &str) -> Problem {
    let message = format!(
        "the journal of {deployment} cannot be read, and no deployment after it succeeded: {why}; bring back what was \
         written, or, if it may be forgotten what {deployment} did, name it in `pass_over` or move its journal away"
    );
    Problem::new("journal", message)
}
