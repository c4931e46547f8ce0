//! The users' entry point.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::Instrument as _;

use super::{
    Control, DeploymentBuilder, Report, Session, Stop,
    assemble::{Reading, assemble},
    history::History,
    parts::Parts,
    session::interrupted,
    start::Start,
};
use crate::{
    error::{DeployError, Problem},
    event::{EventBus, EventKind, EventStream},
    model::{DeploymentId, Epoch, WorkloadId},
    strategy::{Outcome, Preview, preview},
};

/// One release on its way to being live.
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

    pub(super) fn new(parts: Parts) -> Self {
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
        let _end = EndOfEvents(&self.bus);
        let span = tracing::info_span!("deployment", workload = %self.parts.workload, release = %self.parts.release.id);
        Box::pin(self.run_inside()).instrument(span).await
    }

    /// The exact list of actions that a run would take if nothing went wrong, each with its reason. Looks at the world
    /// once and changes nothing.
    ///
    /// # Errors
    /// The run would be refused.
    pub async fn preview(&self) -> Result<Preview, DeployError> {
        self.preview_of(None).await
    }

    /// Like [`preview`](Self::preview), of a run that is aborted after this many actions: it shows the way back.
    ///
    /// # Errors
    /// The run would be refused.
    pub async fn preview_failing_after(&self, actions: usize) -> Result<Preview, DeployError> {
        self.preview_of(Some(actions)).await
    }

    async fn run_inside(&self) -> Result<Report, DeployError> {
        let mut session = Session::open(&self.parts, &self.control, &self.bus).await?;
        let result = session.run().await;
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

    async fn preview_of(&self, failing_after: Option<usize>) -> Result<Preview, DeployError> {
        let parts = &*self.parts;
        let history = History::read(parts).await.map_err(DeployError::Refused)?;
        let epoch = Epoch::default();
        let context = parts.context(&parts.id, epoch);
        let start = Start::look(parts, &context, &history).await.map_err(DeployError::Refused)?;
        let whole_sets = start.rollout.plan.router.as_ref().is_some_and(|router| !router.members);
        let reading = Reading { probed: false, whole_sets };
        let seen = assemble(&start.look, &start.memory, &[].into(), reading, start.at);
        let (plan, state) = (&start.rollout.plan, &start.rollout.state);
        Ok(preview(&*parts.strategy, plan, state, &seen, failing_after))
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
