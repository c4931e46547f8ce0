//! Looking at a workload, and asking something of its deployment, from any process.

use std::sync::Arc;

use super::{
    HistoryEntry, LiveRelease, LockStatus, OpenDeployment, OperationError, PastDeployment, Status,
    reading::{Journaled, list, read},
};
use crate::{
    engine::{History, IntoShared},
    error::Problems,
    lock::owner,
    model::{DeploymentId, PinnedRelease, ReleaseId, WorkloadId},
    ports::{Journal, Lock, PostedRequest, RequestStore},
    strategy::RequestKind,
};

/// Looks at workloads, and asks something of their deployments, without the process that deploys.
///
/// ```
/// # use deployer_core::{
/// #     journal::FileJournal, lock::FileLock, model::WorkloadId, operations::Operations, requests::FileRequests,
/// # };
/// # let directory = tempfile::tempdir().unwrap();
/// # let state = directory.path();
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let operations = Operations::new(FileJournal::open(state)?)
///     .lock(FileLock::open(state)?)
///     .requests(FileRequests::open(state)?);
/// let web = WorkloadId::new("web")?;
/// println!("{}", operations.status(&web).await?);
/// for entry in operations.history(&web).await? {
///     println!("{entry}");
/// }
/// // Nothing is open, so nothing can be aborted.
/// assert!(operations.abort(&web, "the shop is closed").await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Operations {
    journal: Arc<dyn Journal>,
    lock: Option<Arc<dyn Lock>>,
    requests: Option<Arc<dyn RequestStore>>,
}

/// A request that was left for a deployment. [`Operations::status`] says whether it was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it says whether anybody is there to take it in"]
pub struct Asked {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// The number of the request.
    pub number: u64,
    /// Whether a process drives the deployment: without one the request waits until it is run again. `None` if no
    /// lock could be asked.
    pub is_driven: Option<bool>,
}

impl Operations {
    /// Reads this journal.
    pub fn new(journal: impl IntoShared<dyn Journal>) -> Self {
        Self { journal: journal.into_shared(), lock: None, requests: None }
    }

    /// With the lock, to say who deploys right now.
    #[must_use]
    pub fn lock(mut self, lock: impl IntoShared<dyn Lock>) -> Self {
        self.lock = Some(lock.into_shared());
        self
    }

    /// With the place where requests are left. It has to be the one that deployments
    /// [listen to](crate::engine::DeploymentBuilder::requests).
    #[must_use]
    pub fn requests(mut self, requests: impl IntoShared<dyn RequestStore>) -> Self {
        self.requests = Some(requests.into_shared());
        self
    }

    /// How a workload is doing.
    ///
    /// # Errors
    /// Its journals could not be listed. One that cannot be read is part of the answer.
    pub async fn status(&self, workload: &WorkloadId) -> Result<Status, OperationError> {
        let lock = self.holder(workload).await;
        let mut status = Status {
            workload: workload.clone(),
            lock,
            live: None,
            open: None,
            last: None,
            unreadable: Vec::new(),
        };
        let (mut newest, mut is_removed) = (true, false);
        for deployment in list(&*self.journal, workload).await? {
            let journaled = match read(&*self.journal, &deployment).await {
                Ok(journaled) => journaled,
                Err(unreadable) => {
                    status.unreadable.push(unreadable);
                    continue;
                }
            };
            if journaled.recovery.has_ended() {
                status.last.get_or_insert_with(|| PastDeployment::of(&journaled));
            } else if newest {
                let requests = self.requests_of(&journaled).await;
                status.open = Some(OpenDeployment::of(&journaled, requests, status.lock.is_held()));
            }
            newest = false;
            if let Some(past) = journaled.recovery.past(workload) {
                is_removed |= past.is_removed;
                if past.is_live && status.live.is_none() && !is_removed {
                    status.live = live(&journaled, workload, &past.pinned);
                }
            }
            if status.last.is_some() && (status.live.is_some() || is_removed) {
                break;
            }
        }
        Ok(status)
    }

    /// What happened to a workload, newest first.
    ///
    /// # Errors
    /// Its journals could not be listed. One that cannot be read is an entry.
    pub async fn history(&self, workload: &WorkloadId) -> Result<Vec<HistoryEntry>, OperationError> {
        let mut history = Vec::new();
        for deployment in list(&*self.journal, workload).await? {
            history.push(match read(&*self.journal, &deployment).await {
                Ok(journaled) => HistoryEntry::Deployment(PastDeployment::of(&journaled)),
                Err(unreadable) => HistoryEntry::Unreadable(unreadable),
            });
        }
        Ok(history)
    }

    /// A release that was live, exactly as it was: what
    /// [`roll_back_to`](crate::engine::DeploymentBuilder::roll_back_to) would put live.
    ///
    /// # Errors
    /// It is not among the last 10 that were; the error says which are.
    pub async fn release(
        &self,
        workload: &WorkloadId,
        release: &ReleaseId,
    ) -> Result<PinnedRelease, OperationError> {
        // Nothing is done here: what cannot be read hides nothing else.
        let all = list(&*self.journal, workload).await?;
        let no_such = |why| OperationError::NoSuchRelease { workload: workload.clone(), why };
        let history = History::read(&*self.journal, workload, &all).await;
        let history = history.map_err(|problems| no_such(Problems(problems).to_string()))?;
        history.release(release).cloned().map_err(no_such)
    }

    /// Asks the open deployment to go back to the old release.
    ///
    /// # Errors
    /// No deployment of the workload is open, or the request could not be left.
    pub async fn abort(
        &self,
        workload: &WorkloadId,
        reason: impl Into<String>,
    ) -> Result<Asked, OperationError> {
        self.ask(workload, RequestKind::Abort { reason: reason.into() }).await
    }

    /// Asks the open deployment to stop going forward, but to stay as it is.
    ///
    /// # Errors
    /// As for [`abort`](Self::abort).
    pub async fn pause(&self, workload: &WorkloadId) -> Result<Asked, OperationError> {
        self.ask(workload, RequestKind::Pause).await
    }

    /// Asks the open deployment to go on after a pause.
    ///
    /// # Errors
    /// As for [`abort`](Self::abort).
    pub async fn resume(&self, workload: &WorkloadId) -> Result<Asked, OperationError> {
        self.ask(workload, RequestKind::Resume).await
    }

    /// Asks the open deployment to go past the present pause, step or bake time.
    ///
    /// # Errors
    /// As for [`abort`](Self::abort).
    pub async fn promote(&self, workload: &WorkloadId) -> Result<Asked, OperationError> {
        self.ask(workload, RequestKind::Promote).await
    }

    /// Asks the open deployment to skip all remaining pauses, steps and gates.
    ///
    /// # Errors
    /// As for [`abort`](Self::abort).
    pub async fn promote_fully(&self, workload: &WorkloadId) -> Result<Asked, OperationError> {
        self.ask(workload, RequestKind::PromoteFully).await
    }

    /// Asks the open deployment to end with another number of replicas. Without an open one, deploy the
    /// [current release](crate::engine::DeploymentBuilder::current_release) with another number.
    ///
    /// # Errors
    /// As for [`abort`](Self::abort).
    pub async fn scale_running(&self, workload: &WorkloadId, replicas: u32) -> Result<Asked, OperationError> {
        self.ask(workload, RequestKind::Scale { replicas }).await
    }

    async fn ask(&self, workload: &WorkloadId, kind: RequestKind) -> Result<Asked, OperationError> {
        let store = self.requests.as_ref().ok_or(OperationError::NoStore)?;
        let open = self.open(workload).await?;
        let (home, deployment) = (home(&open, workload), open.recovery.deployment.clone());
        let posted = store.post(home, &deployment, &kind, &owner()).await;
        let number =
            posted.map_err(|source| OperationError::Requests { deployment: deployment.clone(), source })?;
        let is_driven = self.holder(workload).await.is_held();
        Ok(Asked { deployment, number, is_driven })
    }

    /// The newest deployment that can be read, if it has not ended.
    async fn open(&self, workload: &WorkloadId) -> Result<Journaled, OperationError> {
        let nothing = |why: String| OperationError::NothingOpen { workload: workload.clone(), why };
        for deployment in list(&*self.journal, workload).await? {
            let Ok(journaled) = read(&*self.journal, &deployment).await else { continue };
            if !journaled.recovery.has_ended() {
                return Ok(journaled);
            }
            return Err(nothing(format!("no deployment is open; {}", PastDeployment::of(&journaled))));
        }
        Err(nothing("no journal of a deployment of it can be read here".to_owned()))
    }

    async fn holder(&self, workload: &WorkloadId) -> LockStatus {
        let Some(lock) = &self.lock else { return LockStatus::NotAsked };
        match lock.holder(workload).await {
            Ok(holder) => holder.map_or(LockStatus::Free, LockStatus::Held),
            Err(error) => LockStatus::Unknown { why: crate::error::report(&error) },
        }
    }

    async fn requests_of(&self, open: &Journaled) -> Vec<PostedRequest> {
        let (Some(store), Some(home)) = (&self.requests, open.recovery.workloads.first()) else {
            return Vec::new();
        };
        let found = store.since(home, &open.recovery.deployment, 0).await;
        found.inspect_err(|error| tracing::warn!(%error, "requests cannot be read")).unwrap_or_default()
    }
}

/// The workload whose directory has the journal.
fn home<'a>(open: &'a Journaled, workload: &'a WorkloadId) -> &'a WorkloadId {
    open.recovery.workloads.first().unwrap_or(workload)
}

fn live(journaled: &Journaled, workload: &WorkloadId, pinned: &PinnedRelease) -> Option<LiveRelease> {
    let stages = &journaled.recovery.progress.stages;
    let stage = stages.iter().find(|stage| stage.outline.workload.as_ref() == Some(workload))?;
    Some(LiveRelease {
        release: pinned.release.id.clone(),
        digest: pinned.artifact.digest.to_string(),
        replicas: stage.forward.as_ref()?.rollout.state.replicas,
        deployment: journaled.recovery.deployment.clone(),
        since: journaled.recovery.finished_at,
    })
}
