//! One run of a deployment: from the lock to the last event.

use futures::TryFutureExt as _;

use super::{
    Control, Next, Recorder,
    driver::Surroundings,
    history::History,
    parts::{KnownReleases, Parts},
    recover::{Recovery, Rollout},
    stamp::stamp,
    start::Start,
};
use crate::{
    error::{DeployError, Problem},
    event::{Event, EventBus, EventKind},
    lock::owner,
    model::{DeploymentId, Epoch},
    pipeline,
    ports::{CallContext, JournalError, LockError, LockGrant},
    strategy::Outcome,
};

/// Why a run stopped without an end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("{0}")]
    Asked(String),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// One run of a deployment. It holds the lock.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    parts: &'a Parts,
    control: &'a Control,
    pub(crate) recorder: Recorder,
    history: History,
    context: CallContext,
    grant: Box<dyn LockGrant>,
    next: Next,
    /// The look that let this run begin.
    begun_with: Option<Start>,
}

impl<'a> Session<'a> {
    /// Takes the lock, reads the past, and begins or goes on. Nothing but the journal is written.
    pub(crate) async fn open(
        parts: &'a Parts,
        control: &'a Control,
        bus: &EventBus,
    ) -> Result<Self, DeployError> {
        let workloads = std::slice::from_ref(&parts.workload);
        let grant = if parts.takes_over {
            parts.lock.take_over(workloads, &parts.id).await
        } else {
            parts.lock.acquire(workloads, &parts.id).await
        };
        let grant = grant.map_err(not_given)?;
        let unreadable = |error: JournalError| refused("journal", crate::error::report(&error));
        let history = History::read(parts).map_err(DeployError::Refused).await?;
        let journaled = parts.journal.last_epoch(&parts.workload).map_err(unreadable).await?;
        // A lock that is younger than the journal would begin with an old epoch again.
        let epoch = grant.epoch().max(journaled.next());
        match history.open.clone() {
            Some((recovery, events)) if is_ours(parts, &recovery) => {
                let recorder = Recorder::new(parts, bus.clone(), recovery.deployment.clone(), epoch, &events);
                let context = parts.context(&recovery.deployment, epoch);
                let next = recovery.next;
                let mut session =
                    Self { parts, control, recorder, history, context, grant, next, begun_with: None };
                session.recorder.record(EventKind::Resumed { owner: owner() }).await.map_err(interrupted)?;
                session.arrive().await;
                Ok(session)
            }
            _ => Self::begin(parts, control, bus, history, (grant, epoch)).await,
        }
    }

    async fn begin(
        parts: &'a Parts,
        control: &'a Control,
        bus: &EventBus,
        history: History,
        (grant, epoch): (Box<dyn LockGrant>, Epoch),
    ) -> Result<Self, DeployError> {
        let listed = parts.journal.list(&parts.workload).await;
        let listed = listed.map_err(|error| refused("journal", crate::error::report(&error)))?;
        let deployment = free_name(parts, &listed)?;
        let context = parts.context(&deployment, epoch);
        let start = Start::look(parts, &context, &history).await.map_err(DeployError::Refused)?;
        let open = history.open.iter().chain(&history.abandoned);
        for (old, events) in open {
            supersede(parts, bus, (old, events), epoch, &deployment).await.map_err(interrupted)?;
        }
        let mut recorder = Recorder::new(parts, bus.clone(), deployment, epoch, &[]);
        let started = EventKind::DeploymentStarted {
            workload: parts.workload.clone(),
            stages: pipeline::outline(),
            plan_hash: parts.plan_hash(),
            owner: owner(),
        };
        recorder.create(parts, started).await.map_err(interrupted)?;
        let (next, begun_with) = (Next::StartStage, Some(start));
        let session = Self { parts, control, recorder, history, context, grant, next, begun_with };
        session.arrive().await;
        Ok(session)
    }

    /// Runs what is left, to the last event.
    pub(crate) async fn run(&mut self) -> Result<Outcome, Stop> {
        let next = std::mem::replace(&mut self.next, Next::StartStage);
        let outcome = match next {
            Next::Nothing(outcome) => return Ok(outcome),
            Next::EndDeployment(outcome) => outcome,
            next => pipeline::run_rollout(self, next).await?,
        };
        let finished = EventKind::DeploymentFinished { outcome: outcome.clone() };
        self.recorder.record(finished).await?;
        self.control.end();
        Ok(outcome)
    }

    /// What the rollout is started with, or all that speaks against it.
    pub(crate) async fn start(&mut self) -> Result<Start, Vec<Problem>> {
        match self.begun_with.take() {
            Some(start) => Ok(start),
            None => Start::look(self.parts, &self.context, &self.history).await,
        }
    }

    /// The name of the strategy, for the journal.
    pub(crate) fn strategy(&self) -> String {
        self.parts.strategy.name().to_owned()
    }

    /// A driver for this rollout.
    pub(crate) fn driver(&mut self, rollout: Rollout) -> super::Driver<'_> {
        let known: &KnownReleases = &self.history.known;
        let around = Surroundings {
            parts: self.parts,
            control: self.control,
            recorder: &mut self.recorder,
            known,
            context: self.context.clone(),
            lock_epoch: self.grant.epoch(),
        };
        super::Driver::new(around, rollout)
    }

    async fn arrive(&self) {
        if self.parts.takes_over {
            stamp(self.parts, &self.context, &self.recorder).await;
        }
        self.history.notes.iter().for_each(|note| self.recorder.note(note.clone()));
    }
}

fn is_ours(parts: &Parts, recovery: &Recovery) -> bool {
    recovery.plan_hash == parts.plan_hash() && (!parts.id_is_given || parts.id == recovery.deployment)
}

fn free_name(parts: &Parts, taken: &[DeploymentId]) -> Result<DeploymentId, DeployError> {
    const MOST: u32 = 1000;
    if !taken.contains(&parts.id) {
        return Ok(parts.id.clone());
    }
    let other = (!parts.id_is_given).then(|| {
        let numbered = (2..MOST).filter_map(|n| DeploymentId::new(format!("{}-{n}", parts.id)).ok());
        numbered.into_iter().find(|name| !taken.contains(name))
    });
    other.flatten().ok_or_else(|| {
        let why =
            format!("deployment {} exists, and has ended or has another plan; choose another name", parts.id);
        refused("id", why)
    })
}

/// Ends an older deployment where it stands. Its set is a leftover from now on.
async fn supersede(
    parts: &Parts,
    bus: &EventBus,
    (old, events): (&Recovery, &[Event]),
    epoch: Epoch,
    by: &DeploymentId,
) -> Result<(), Stop> {
    let mut recorder = Recorder::new(parts, bus.clone(), old.deployment.clone(), epoch, events);
    let outcome = Outcome::Superseded { by: by.to_string() };
    recorder.record(EventKind::DeploymentFinished { outcome }).await?;
    Ok(())
}

fn refused(at: &str, why: impl Into<String>) -> DeployError {
    DeployError::Refused(vec![Problem::new(at, why)])
}

fn not_given(error: LockError) -> DeployError {
    match error {
        LockError::Held { workload, holder } => DeployError::Locked { workload, holder },
        other => refused("lock", crate::error::report(&other)),
    }
}

pub(super) fn interrupted(stop: impl Into<Stop>) -> DeployError {
    let stop = stop.into();
    let way_out = match &stop {
        Stop::Journal(JournalError::Io { .. }) => {
            "; nothing is done that is not written down, so mend that and run the same deployment again to go on"
        }
        Stop::Journal(JournalError::Fenced { .. }) => {
            "; another deployer took over, so nothing more is done here"
        }
        _ => "",
    };
    DeployError::Interrupted { why: format!("{}{way_out}", crate::error::report(&stop)) }
}
