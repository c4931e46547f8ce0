//! One run of a deployment: from the lock to the last event.

use std::collections::BTreeMap;

use futures::TryFutureExt as _;

use super::{
    Control, Recorder,
    driver::Surroundings,
    history::History,
    parts::{Parts, RolloutParts, Tools},
    recover::Recovery,
    stamp::stamp,
    start::Start,
};
use crate::{
    error::{DeployError, Problem},
    event::{Event, EventBus, EventKind, Resolution},
    lock::owner,
    model::{DeploymentId, Epoch, WorkloadId},
    pipeline::{Progress, Rollout},
    ports::{JournalError, LockError, LockGrant},
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

/// What the journals say of each workload.
pub(super) type Histories = BTreeMap<WorkloadId, History>;

/// One run of a deployment. It holds the lock.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) control: &'a Control,
    pub(crate) recorder: Recorder,
    pub(crate) deployment: DeploymentId,
    pub(crate) epoch: Epoch,
    histories: Histories,
    grant: Box<dyn LockGrant>,
    /// The looks that let this run begin, by stage.
    begun_with: BTreeMap<usize, Start>,
}

/// The right to write, and what was written before.
struct Opened {
    grant: Box<dyn LockGrant>,
    epoch: Epoch,
    histories: Histories,
}

impl<'a> Session<'a> {
    /// Takes the lock, reads the past, and begins or goes on. Nothing but the journal is written.
    pub(crate) async fn open(
        parts: &'a Parts,
        control: &'a Control,
        bus: &EventBus,
    ) -> Result<Self, DeployError> {
        let opened = Opened::new(parts).await?;
        match opened.common(|history| history.open.as_ref()) {
            Some((recovery, events)) if is_ours(parts, &recovery) => {
                let resumed = EventKind::Resumed { owner: owner() };
                Self::go_on(parts, control, bus, opened, (recovery, events), resumed).await
            }
            _ => Self::begin(parts, control, bus, opened).await,
        }
    }

    /// Goes on with a deployment that is stuck, as a person decided.
    pub(crate) async fn open_stuck(
        parts: &'a Parts,
        control: &'a Control,
        bus: &EventBus,
        resolution: Resolution,
    ) -> Result<Self, DeployError> {
        let opened = Opened::new(parts).await?;
        match opened.common(|history| history.stuck.as_ref()) {
            Some((recovery, events)) if is_ours(parts, &recovery) => {
                let resolved = EventKind::Resolved { resolution, owner: owner() };
                Self::go_on(parts, control, bus, opened, (recovery, events), resolved).await
            }
            Some((recovery, _)) => {
                let why = format!("deployment {} is stuck and has another plan", recovery.deployment);
                Err(refused("plan", why))
            }
            None => Err(refused("plan", "the newest deployment is not stuck: there is nothing to decide")),
        }
    }

    async fn go_on(
        parts: &'a Parts,
        control: &'a Control,
        bus: &EventBus,
        opened: Opened,
        (recovery, events): (Recovery, Vec<Event>),
        first: EventKind,
    ) -> Result<Self, DeployError> {
        let Opened { grant, epoch, histories } = opened;
        let deployment = recovery.deployment;
        let (name, before) = ((deployment.clone(), epoch), (&events[..], recovery.progress));
        let mut recorder = Recorder::new(&parts.tools, bus.clone(), name, before);
        recorder.record(first).await.map_err(interrupted)?;
        let begun_with = BTreeMap::new();
        let session = Self { parts, control, recorder, deployment, epoch, histories, grant, begun_with };
        session.arrive().await;
        Ok(session)
    }

    async fn begin(
        parts: &'a Parts,
        control: &'a Control,
        bus: &EventBus,
        opened: Opened,
    ) -> Result<Self, DeployError> {
        let deployment = free_name(parts).await?;
        let begun_with = look_at_all(parts, &deployment, &opened).await?;
        let Opened { grant, epoch, histories } = opened;
        let unfinished = histories.values().flat_map(|history| history.open.iter().chain(&history.abandoned));
        let unfinished: BTreeMap<_, _> =
            unfinished.map(|(recovery, events)| (recovery.deployment.clone(), (recovery, events))).collect();
        for (old, events) in unfinished.into_values() {
            supersede(&parts.tools, bus, (old, events), epoch, &deployment).await.map_err(interrupted)?;
        }
        let outline = parts.outline();
        let (name, before) = ((deployment.clone(), epoch), (&[][..], Progress::begin(&outline)));
        let mut recorder = Recorder::new(&parts.tools, bus.clone(), name, before);
        let started = EventKind::DeploymentStarted {
            workloads: parts.workloads.clone(),
            stages: outline,
            plan_hash: parts.plan_hash(),
            owner: owner(),
        };
        recorder.create(&parts.workloads, started).await.map_err(interrupted)?;
        let session = Self { parts, control, recorder, deployment, epoch, histories, grant, begun_with };
        session.arrive().await;
        Ok(session)
    }

    /// What the rollout of a stage is started with, or all that speaks against it.
    pub(crate) async fn start(
        &mut self,
        stage: usize,
        rollout: &RolloutParts,
    ) -> Result<Start, Vec<Problem>> {
        if let Some(start) = self.begun_with.remove(&stage) {
            return Ok(start);
        }
        let context = self.parts.tools.context(&rollout.workload, &self.deployment, self.epoch);
        Start::look(rollout, &context, self.history(&rollout.workload)).await
    }

    /// The looks before the first stage are old once another stage has taken its time.
    pub(crate) fn forget_looks(&mut self) {
        self.begun_with.clear();
    }

    /// A driver for this rollout.
    pub(crate) fn driver(&mut self, parts: &'a RolloutParts, rollout: Rollout) -> super::Driver<'_> {
        let context = self.parts.tools.context(&parts.workload, &self.deployment, self.epoch);
        let history = self.histories.get(&parts.workload);
        let around = Surroundings {
            parts,
            control: self.control,
            recorder: &mut self.recorder,
            known: &history.expect("each workload of the deployment has its history").known,
            context,
            locked: &self.parts.workloads,
            lock_epoch: self.grant.epoch(),
        };
        super::Driver::new(around, rollout)
    }

    /// The workload whose directory has the journal.
    pub(super) fn home(&self) -> WorkloadId {
        let home = self.parts.workloads.first();
        home.expect("a deployment is of at least one workload: its builder saw to that").clone()
    }

    /// Makes sure that nobody took over.
    pub(crate) async fn renew(&self) -> Result<(), Stop> {
        Ok(self.parts.tools.lock.renew(&self.parts.workloads, self.grant.epoch()).await?)
    }

    fn history(&self, workload: &WorkloadId) -> &History {
        self.histories.get(workload).expect("each workload of the deployment has its history")
    }

    async fn arrive(&self) {
        let takes_over = self.parts.takes_over;
        for (_, rollout) in self.parts.rollouts().filter(|_| takes_over) {
            let context = self.parts.tools.context(&rollout.workload, &self.deployment, self.epoch);
            stamp(rollout, &context, &self.recorder).await;
        }
        let notes = self.histories.values().flat_map(|history| &history.notes);
        notes.for_each(|note| self.recorder.note(note.clone()));
    }
}

impl Opened {
    async fn new(parts: &Parts) -> Result<Self, DeployError> {
        let tools = &parts.tools;
        let grant = if parts.takes_over {
            tools.lock.take_over(&parts.workloads, &parts.id).await
        } else {
            tools.lock.acquire(&parts.workloads, &parts.id).await
        };
        let grant = grant.map_err(not_given)?;
        let (mut histories, mut epoch) = (Histories::new(), grant.epoch());
        for workload in &parts.workloads {
            let history = History::read(&*tools.journal, workload, &parts.pass_over).await;
            let history = history.map_err(DeployError::Refused)?;
            // A lock that is younger than the journal would begin with an old epoch again.
            let journaled = tools.journal.last_epoch(workload).map_err(unreadable).await?;
            epoch = epoch.max(journaled.next());
            histories.insert(workload.clone(), history);
        }
        Ok(Self { grant, epoch, histories })
    }

    /// The deployment that all workloads have in this place, if it is the same one.
    fn common(
        &self,
        place: impl Fn(&History) -> Option<&(Recovery, Vec<Event>)>,
    ) -> Option<(Recovery, Vec<Event>)> {
        let mut all = self.histories.values().map(place);
        let first = all.next()??;
        let same = |other: Option<&(Recovery, _)>| {
            other.is_some_and(|(recovery, _)| recovery.deployment == first.0.deployment)
        };
        all.all(same).then(|| first.clone())
    }
}

/// All rollouts have to be possible before the first stage begins.
async fn look_at_all(
    parts: &Parts,
    deployment: &DeploymentId,
    opened: &Opened,
) -> Result<BTreeMap<usize, Start>, DeployError> {
    let (mut starts, mut problems) = (BTreeMap::new(), Vec::new());
    for (stage, rollout) in parts.rollouts() {
        let context = parts.tools.context(&rollout.workload, deployment, opened.epoch);
        let history = opened.histories.get(&rollout.workload);
        let history = history.expect("each workload of the deployment has its history");
        match Start::look(rollout, &context, history).await {
            Ok(start) => drop(starts.insert(stage, start)),
            Err(found) if parts.workloads.len() == 1 => problems.extend(found),
            Err(found) => problems.extend(found.into_iter().map(|problem| Problem {
                at: format!("stage {}: {}", parts.stages[stage].id, problem.at),
                ..problem
            })),
        }
    }
    if problems.is_empty() { Ok(starts) } else { Err(DeployError::Refused(problems)) }
}

fn is_ours(parts: &Parts, recovery: &Recovery) -> bool {
    recovery.workloads == parts.workloads
        && recovery.plan_hash == parts.plan_hash()
        && (!parts.id_is_given || parts.id == recovery.deployment)
}

async fn free_name(parts: &Parts) -> Result<DeploymentId, DeployError> {
    const MOST: u32 = 1000;
    let mut taken = Vec::new();
    for workload in &parts.workloads {
        taken.extend(parts.tools.journal.list(workload).map_err(unreadable).await?);
    }
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
    tools: &Tools,
    bus: &EventBus,
    (old, events): (&Recovery, &[Event]),
    epoch: Epoch,
    by: &DeploymentId,
) -> Result<(), Stop> {
    let (name, before) = ((old.deployment.clone(), epoch), (events, old.progress.clone()));
    let mut recorder = Recorder::new(tools, bus.clone(), name, before);
    let outcome = Outcome::Superseded { by: by.to_string() };
    recorder.record(EventKind::DeploymentFinished { outcome }).await?;
    Ok(())
}

fn refused(at: &str, why: impl Into<String>) -> DeployError {
    DeployError::Refused(vec![Problem::new(at, why)])
}

fn unreadable(error: JournalError) -> DeployError {
    refused("journal", crate::error::report(&error))
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
