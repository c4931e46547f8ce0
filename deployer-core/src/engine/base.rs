//! What a deployment and a pipeline are told alike: where it is written down, who may write, what time it is.

use std::sync::Arc;

use super::{
    Deployment, EngineSettings, Limit,
    parts::{Parts, StageParts, Tools},
};
use crate::{
    error::{DeployError, Problem},
    journal::MemoryJournal,
    lock::MemoryLock,
    model::{DeploymentId, Timestamp, WorkloadId},
    ports::{Clock, Journal, Lock, Notifier, RequestStore, SystemClock},
    redact::Redactor,
};

/// What is not about a single rollout.
#[derive(Debug, Default)]
pub(crate) struct Base {
    pub(crate) id: Option<DeploymentId>,
    pub(crate) revision: u64,
    pub(crate) takes_over: bool,
    pub(crate) pass_over: Vec<DeploymentId>,
    pub(crate) engine: EngineSettings,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) lock: Option<Arc<dyn Lock>>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) notifiers: Vec<Arc<dyn Notifier>>,
    pub(crate) requests: Option<Arc<dyn RequestStore>>,
    pub(crate) limit: Option<Limit>,
    pub(crate) redactor: Redactor,
    /// Names that were none.
    pub(crate) problems: Vec<Problem>,
    /// Names of what was told, for the one who must not be told it.
    pub(crate) told: Vec<&'static str>,
}

impl Base {
    pub(crate) fn tools(&self) -> Tools {
        Tools {
            journal: self.journal.clone().unwrap_or_else(|| Arc::new(MemoryJournal::new())),
            lock: self.lock.clone().unwrap_or_else(|| Arc::new(MemoryLock::new())),
            clock: self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::new())),
            notifiers: self.notifiers.clone(),
            requests: self.requests.clone(),
            limit: self.limit.clone(),
            redactor: self.redactor.clone(),
            engine: self.engine.clone(),
        }
    }

    /// The deployment of these stages. It is of the workloads that they put live, and of these others.
    pub(crate) fn deployment(
        self,
        words: &[&str],
        tools: Tools,
        others: Vec<WorkloadId>,
        stages: Vec<StageParts>,
    ) -> Result<Deployment, DeployError> {
        let id_is_given = self.id.is_some();
        let id = match self.id {
            Some(id) => id,
            None => name_by_time(words, tools.clock.now())?,
        };
        let mut parts = Parts {
            id,
            id_is_given,
            revision: self.revision,
            takes_over: self.takes_over,
            pass_over: self.pass_over,
            workloads: others,
            stages,
            tools,
        };
        let deployed: Vec<_> = parts.rollouts().map(|(_, rollout)| rollout.workload.clone()).collect();
        parts.workloads.extend(deployed);
        parts.workloads.sort();
        parts.workloads.dedup();
        Ok(Deployment::new(parts))
    }

    pub(crate) fn name<T>(&mut self, at: &str, name: impl TryInto<T, Error: std::fmt::Display>) -> Option<T> {
        name.try_into().map_err(|error| self.problems.push(Problem::new(at, error.to_string()))).ok()
    }
}

/// The same plan at another time has another name; a resumed deployment keeps the one it began with.
fn name_by_time(words: &[&str], now: Timestamp) -> Result<DeploymentId, DeployError> {
    let mut name = String::new();
    for word in words {
        name.extend(word.chars().take(20));
        name.push('-');
    }
    name.push_str(&now.as_millis().to_string());
    DeploymentId::new(name).map_err(|error| DeployError::Refused(vec![Problem::new("id", error.to_string())]))
}

/// The setters of a builder that has a [`Base`] in its field `base`.
macro_rules! base_setters {
    () => {
        /// How patient the engine is.
        pub fn engine(mut self, engine: $crate::engine::EngineSettings) -> Self {
            self.base.engine = engine;
            self.base.told.push("engine");
            self
        }

        /// Where decisions are kept. Default: in memory, so that a crash cannot be resumed and the next process does not
        /// know what is live. Use a [`FileJournal`](crate::journal::FileJournal) for anything that matters.
        pub fn journal(
            mut self,
            journal: impl $crate::engine::IntoShared<dyn $crate::ports::Journal>,
        ) -> Self {
            self.base.journal = Some(journal.into_shared());
            self.base.told.push("journal");
            self
        }

        /// Who may write. Default: in memory and for this deployment alone, so that it keeps nobody else away. Use a
        /// [`FileLock`](crate::lock::FileLock) for anything that matters.
        pub fn lock(mut self, lock: impl $crate::engine::IntoShared<dyn $crate::ports::Lock>) -> Self {
            self.base.lock = Some(lock.into_shared());
            self.base.told.push("lock");
            self
        }

        /// What time it is. Default: the system's.
        pub fn clock(mut self, clock: impl $crate::engine::IntoShared<dyn $crate::ports::Clock>) -> Self {
            self.base.clock = Some(clock.into_shared());
            self.base.told.push("clock");
            self
        }

        /// Who is told of events, among others.
        pub fn notifier(
            mut self,
            notifier: impl $crate::engine::IntoShared<dyn $crate::ports::Notifier>,
        ) -> Self {
            self.base.notifiers.push(notifier.into_shared());
            self.base.told.push("notifier");
            self
        }

        /// Where other processes leave what they ask of this deployment, through
        /// [`Operations`](crate::operations::Operations). Default nowhere: it listens to its own
        /// [`Control`](crate::engine::Control) only.
        pub fn requests(
            mut self,
            requests: impl $crate::engine::IntoShared<dyn $crate::ports::RequestStore>,
        ) -> Self {
            self.base.requests = Some(requests.into_shared());
            self.base.told.push("requests");
            self
        }

        /// How many deployments may run at once, this one among them: it waits for its turn before it takes a lock.
        /// Default any number.
        pub fn limit(mut self, limit: &$crate::engine::Limit) -> Self {
            self.base.limit = Some(limit.clone());
            self.base.told.push("limit");
            self
        }

        /// Takes these secret values out of everything that is told: events, journal, log, errors, report. Default none.
        pub fn redact(mut self, redactor: &$crate::redact::Redactor) -> Self {
            self.base.redactor = redactor.clone();
            self.base.told.push("redact");
            self
        }

        /// The name of this deployment. Default: made of what is deployed and the time.
        pub fn id(mut self, id: impl TryInto<$crate::model::DeploymentId, Error: std::fmt::Display>) -> Self {
            self.base.id = self.base.name("id", id);
            self.base.told.push("id");
            self
        }

        /// Part of the plan: raise it when code changed in a way that settings do not show, so that an unfinished
        /// deployment of the old code is not resumed. Default 0.
        pub fn revision(mut self, revision: u64) -> Self {
            self.base.revision = revision;
            self.base.told.push("revision");
            self
        }

        /// Takes the lock from whoever has it: from an owner that is dead, or stopped, or has to go. A
        /// [`FileLock`](crate::lock::FileLock) replaces a living owner too. The new epoch is shown to targets and routers
        /// at once, so that what the old owner still does is refused where they fence.
        pub fn take_over(mut self) -> Self {
            self.base.takes_over = true;
            self.base.told.push("take_over");
            self
        }

        /// A deployment whose journal may be unreadable: what it did is forgotten, where the run would be refused
        /// otherwise. May be given several times. A journal that can be read counts all the same.
        pub fn pass_over(
            mut self,
            deployment: impl TryInto<$crate::model::DeploymentId, Error: std::fmt::Display>,
        ) -> Self {
            let deployment = self.base.name("pass_over", deployment);
            self.base.pass_over.extend(deployment);
            self.base.told.push("pass_over");
            self
        }
    };
}

pub(crate) use base_setters;
