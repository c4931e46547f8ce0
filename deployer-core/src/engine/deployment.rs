//! The users' entry point.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use super::{
    Control, DeploymentBuilder, DeploymentPreview, RemovalBuilder, Report, Session, Stop, listen::listen,
    parts::Parts, plan_preview::preview_of, session::interrupted,
};
use crate::{
    error::{DeployError, Problem},
    event::{Event, EventBus, EventKind, EventStream, Resolution},
    model::{DeploymentId, Epoch, WorkloadId},
    pipeline,
    strategy::Outcome,
};

/// One release, or a whole [pipeline](crate::pipeline), on its way to being live.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use deployer_core::{
/// #     engine::Deployment, journal::FileJournal, lock::FileLock, model::{Release, ReleaseId},
/// #     ports::{HealthCheck, Target, TrafficRouter}, strategy::Rolling,
/// # };
/// # async fn deploy(
/// #     target: Arc<dyn Target>, proxy: Arc<dyn TrafficRouter>, check: Arc<dyn HealthCheck>, release: Release,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let deployment = Deployment::builder("web")
///     .release(release)
///     .replicas(4)
///     .strategy(Rolling::default())
///     .target(target)
///     .router(proxy)
///     .check(check)
///     .journal(FileJournal::open("state")?)
///     .lock(FileLock::open("state")?)
///     .build()?;
/// println!("{}", deployment.run().await?);
/// # Ok(())
/// # }
/// ```
///
/// Runs may be dropped or killed at any time. The same deployment, built and run again with the same journal, goes on
/// where it was.
#[derive(Debug)]
pub struct Deployment {
    parts: Arc<Parts>,
    control: Control,
    bus: EventBus,
    report: Mutex<Option<Report>>,
}

impl Deployment {
    /// Begins to describe a deployment of this workload. A bad name is among the problems that
    /// [`build`](DeploymentBuilder::build) reports.
    pub fn builder(workload: impl TryInto<WorkloadId, Error: fmt::Display>) -> DeploymentBuilder {
        DeploymentBuilder::new(workload)
    }

    /// Begins to describe the removal of this workload: it is taken down on purpose.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     target: std::sync::Arc<dyn deployer_core::ports::Target>,
    /// #     proxy: std::sync::Arc<dyn deployer_core::ports::TrafficRouter>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// # use deployer_core::{engine::Deployment, journal::FileJournal, lock::FileLock};
    /// let removal = Deployment::removal("web")
    ///     .target(target)
    ///     .router(proxy)
    ///     .reason("the shop moved")
    ///     .journal(FileJournal::open("state")?)
    ///     .lock(FileLock::open("state")?)
    ///     .build()?;
    /// removal.run().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn removal(workload: impl TryInto<WorkloadId, Error: fmt::Display>) -> RemovalBuilder {
        RemovalBuilder::new(workload)
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            control: Control::default(),
            bus: EventBus::new(),
            report: Mutex::default(),
        }
    }

    /// The name of the deployment, should it begin anew. One that is resumed keeps its own, which events and report say.
    pub fn id(&self) -> &DeploymentId {
        &self.parts.id
    }

    /// A handle to pause, promote, abort and the like.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The events of the next run, or of the one under way from now on.
    pub fn events(&self) -> EventStream {
        self.bus.subscribe()
    }

    /// What the last run told at its end, whether it succeeded or not; `None` before, and if it was refused.
    pub fn report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the release live, or goes back.
    ///
    /// An unfinished deployment of the same plan is resumed; one of another plan is superseded.
    ///
    /// # Errors
    /// Everything but success, a clean way back included: the release is not live.
    ///
    /// # Cancel safety
    /// Dropping it equals a crash of the process: nothing is cleaned up, and the next run goes on.
    pub async fn run(&self) -> Result<Report, DeployError> {
        self.begun(Session::open(&self.parts, &self.control, &self.bus)).await
    }

    /// Goes on with a deployment that is [stuck](DeployError::Stuck) in a stage, as a person decided: the stage is tried
    /// again, counts as done, or everything ends where it stands. [`run`](Self::run) would begin a new deployment.
    ///
    /// # Errors
    /// Everything but success. It is refused if the newest deployment of these workloads is not stuck, or has another
    /// plan.
    ///
    /// # Cancel safety
    /// As that of [`run`](Self::run).
    pub async fn resolve(&self, resolution: Resolution) -> Result<Report, DeployError> {
        self.begun(Session::open_stuck(&self.parts, &self.control, &self.bus, resolution)).await
    }

    /// The exact list of actions that a run would take if nothing went wrong, each with its reason. Looks at the world
    /// once and changes nothing.
    ///
    /// # Errors
    /// The run would be refused.
    pub async fn preview(&self) -> Result<DeploymentPreview, DeployError> {
        preview_of(&self.parts, None).await.map_err(|error| self.redacted(error))
    }

    /// Like [`preview`](Self::preview), of a run that is aborted after this many actions: it shows the way back.
    ///
    /// # Errors
    /// The run would be refused.
    pub async fn preview_failing_after(&self, actions: usize) -> Result<DeploymentPreview, DeployError> {
        preview_of(&self.parts, Some(actions)).await.map_err(|error| self.redacted(error))
    }

    /// Runs to the end what this begins, once it is its turn.
    async fn begun(
        &self,
        session: impl Future<Output = Result<Session<'_>, DeployError>> + Send,
    ) -> Result<Report, DeployError> {
        let _end = EndOfEvents(&self.bus);
        let run = async {
            let _turn = self.turn().await?;
            self.finish(session.await?).await
        };
        // Boxed: it holds everything that a rollout works with.
        Box::pin(run.instrument(self.span())).await.map_err(|error| self.redacted(error))
    }

    /// Waits until it may begin.
    async fn turn(&self) -> Result<Option<OwnedSemaphorePermit>, DeployError> {
        let Some(limit) = &self.parts.tools.limit else { return Ok(None) };
        let waits = || {
            let message = format!("waits for its turn: at most {} deployments run at once", limit.most());
            self.bus.send(Arc::new(Event {
                deployment: self.parts.id.clone(),
                seq: 0,
                epoch: Epoch::default(),
                at: self.parts.tools.clock.now(),
                path: Vec::new(),
                kind: EventKind::Note { message },
            }));
        };
        limit.turn(&self.control, waits).await.map(Some)
    }

    async fn finish(&self, mut session: Session<'_>) -> Result<Report, DeployError> {
        let (home, deployment) = (session.home(), session.deployment.clone());
        let last = session.recorder.progress_so_far().last_posted;
        let result = tokio::select! {
            biased;
            result = pipeline::run(&mut session) => result,
            never = listen(&self.parts.tools, &self.control, (&home, &deployment), last) => match never {},
        };
        if let Err(stop @ (Stop::Asked(_) | Stop::Lock(_))) = &result {
            // If the lock was lost this is refused, and rightly so.
            let why = crate::error::report(stop);
            let _ = session.recorder.record(EventKind::Interrupted { why }).await;
        }
        let report = session.recorder.finish().await.into_report();
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        match result {
            Ok(outcome) => end(outcome, report),
            Err(stop) => Err(interrupted(stop)),
        }
    }

    fn redacted(&self, error: DeployError) -> DeployError {
        self.parts.tools.redactor.error(error)
    }

    fn span(&self) -> tracing::Span {
        tracing::info_span!("deployment", deployment = %self.parts.id)
    }
}

/// However a run ends, listeners learn of it.
struct EndOfEvents<'a>(&'a EventBus);

impl Drop for EndOfEvents<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn end(outcome: Outcome, report: Report) -> Result<Report, DeployError> {
    match outcome {
        Outcome::Succeeded => Ok(report),
        Outcome::RolledBack { cause } => Err(DeployError::RolledBack { cause, evidence: report.clues() }),
        Outcome::Aborted { reason } => Err(DeployError::Aborted { reason, superseded_by: None }),
        Outcome::Superseded { by } => Err(DeployError::Aborted {
            reason: "a newer deployment took over".to_owned(),
            superseded_by: Some(by),
        }),
        Outcome::Stuck { why, left } => Err(DeployError::Stuck { why, left }),
        Outcome::Refused { problems } => {
            Err(DeployError::Refused(problems.into_iter().map(|why| Problem::new("rollout", why)).collect()))
        }
    }
}
