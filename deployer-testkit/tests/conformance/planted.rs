//! Targets and routers with one fault each, around those of the fake world.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind, Retry},
    model::{
        Artifact, Epoch, Evidence, InFlight, InstanceId, InstancePhase, Member, PinnedRelease, PlaceStatus,
        Proof, Release, RouterCapabilities, SetId, SetSpec, Split, TargetCapabilities, TrafficView,
        WorkloadView,
    },
    ports::{CallContext, Changes, Result, Target, TrafficRouter},
};
use deployer_testkit::{conformance, world::WorldSettings};

use crate::fake::FakeRig;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    CreatesAnew,
    IgnoresEpochs,
    RefusesNewOwners,
    SeesNothingOnErrors,
    HidesWhatStops,
    CannotRemoveNothing,
    RemovesAll,
    IgnoresVictims,
    NamingRemoves,
    PreparesAnew,
    RetriesMissing,
    TakesAnyArtifact,
    CountsTheDead,
    StaysSilent,
    KnowsStrangers,
    EvidenceHangs,
    Panics,
    StaysBusy,
    TwoSteps,
    CountsApplies,
    ForgetsMembers,
    NeverProves,
    TakesNonsense,
    CountsOneOnly,
}

#[derive(Debug)]
struct Broken<P: ?Sized> {
    inner: Arc<P>,
    fault: Fault,
    busy: AtomicBool,
    count: AtomicU64,
}

impl<P: ?Sized> Broken<P> {
    fn new(inner: Arc<P>, fault: Fault) -> Self {
        Self { inner, fault, busy: AtomicBool::new(false), count: AtomicU64::new(0) }
    }

    fn context(&self, context: &CallContext) -> CallContext {
        let epoch = if self.fault == Fault::IgnoresEpochs { Epoch(u64::MAX) } else { context.epoch };
        CallContext { epoch, ..context.clone() }
    }

    fn epoch(&self, context: &CallContext) -> Result<()> {
        let first = self.count.load(Ordering::Relaxed);
        if self.fault == Fault::RefusesNewOwners && first > 0 && context.epoch.0 > first {
            return Err(BackendError::new(ErrorKind::Conflict, "apply", "it belongs to somebody else"));
        }
        if self.fault == Fault::RefusesNewOwners {
            self.count.store(context.epoch.0, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[async_trait]
impl Target for Broken<dyn Target> {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn capabilities(&self) -> TargetCapabilities {
        self.inner.capabilities()
    }

    async fn observe(&self, context: &CallContext) -> Result<WorkloadView> {
        let seen = self.inner.observe(context).await;
        match self.fault {
            Fault::SeesNothingOnErrors => {
                let mut view = seen.unwrap_or_default();
                view.places.iter_mut().for_each(|place| place.status = PlaceStatus::Known);
                Ok(view)
            }
            Fault::HidesWhatStops => seen.map(|mut view| {
                for set in &mut view.sets {
                    set.instances.retain(|one| !matches!(one.phase, InstancePhase::Stopping { .. }));
                }
                view
            }),
            _ => seen,
        }
    }

    async fn prepare(&self, context: &CallContext, release: &Release) -> Result<Artifact> {
        let answer = self.inner.prepare(context, release).await;
        match (self.fault, answer) {
            (Fault::PreparesAnew, Ok(artifact)) => {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                Ok(Artifact { digest: Arc::from(format!("{}-{number}", artifact.digest)), ..artifact })
            }
            (Fault::RetriesMissing, Err(error)) => Err(BackendError { retry: Retry::Maybe, ..error }),
            (Fault::Panics, Err(error)) => panic!("called `unwrap` on {error}"),
            (_, answer) => answer,
        }
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        self.epoch(context)?;
        let context = &self.context(context);
        let mut spec = spec.clone();
        let view = self.inner.observe(context).await?;
        let of_set = view.sets.iter().filter(|seen| seen.set == spec.set).flat_map(|seen| &seen.instances);
        let dead = of_set.clone().filter(|one| matches!(one.phase, InstancePhase::Failed { .. })).count();
        let live = of_set.filter(|one| {
            !matches!(one.phase, InstancePhase::Failed { .. } | InstancePhase::Stopping { .. })
        });
        let live = u32::try_from(live.count()).unwrap();
        match self.fault {
            // Not all of them: it would double each time.
            Fault::CreatesAnew if spec.replicas > 0 => spec.replicas += live.min(2),
            Fault::IgnoresVictims => spec.remove_first.clear(),
            Fault::NamingRemoves if spec.replicas == live => {
                spec.replicas -= u32::try_from(spec.remove_first.len()).unwrap();
            }
            Fault::CountsTheDead if dead > 0 => return Ok(()),
            Fault::StaysBusy if self.busy.swap(true, Ordering::Relaxed) => {
                return Err(BackendError::new(ErrorKind::Conflict, "apply", "a call is under way"));
            }
            _ => {}
        }
        let answer = self.inner.apply(context, release, &spec).await;
        self.busy.store(false, Ordering::Relaxed);
        match answer {
            Err(error) if self.fault == Fault::TakesAnyArtifact && error.kind == ErrorKind::AlreadyExists => {
                Ok(())
            }
            answer => answer,
        }
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        self.epoch(context)?;
        let context = &self.context(context);
        let sets = self.inner.observe(context).await?.sets;
        if self.fault == Fault::CannotRemoveNothing && !sets.iter().any(|seen| seen.set == *set) {
            return Err(BackendError::new(ErrorKind::NotFound, "remove", "there is no such set"));
        }
        if self.fault == Fault::RemovesAll {
            for seen in sets {
                self.inner.remove(context, &seen.set).await?;
            }
        }
        self.inner.remove(context, set).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        if self.fault == Fault::StaysSilent {
            return Ok(Box::pin(futures::stream::pending()));
        }
        self.inner.watch(context).await
    }

    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        match self.fault {
            Fault::KnowsStrangers => Ok(Evidence::default()),
            Fault::EvidenceHangs => std::future::pending().await,
            _ => self.inner.evidence(context, instance).await,
        }
    }
}

#[async_trait]
impl TrafficRouter for Broken<dyn TrafficRouter> {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn capabilities(&self) -> RouterCapabilities {
        self.inner.capabilities()
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        self.epoch(context)?;
        let context = &self.context(context);
        if self.fault == Fault::CountsApplies {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        if self.fault == Fault::TwoSteps {
            self.inner.apply(context, &Split::EMPTY).await?;
        }
        match self.inner.apply(context, split).await {
            Err(error) if self.fault == Fault::TakesNonsense && error.kind == ErrorKind::InvalidInput => {
                Ok(())
            }
            answer => answer,
        }
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        let mut view = self.inner.current(context).await?;
        match (self.fault, &mut view.split) {
            (Fault::ForgetsMembers, Split::Serve { shares, .. }) => {
                for share in shares {
                    share.members.truncate(1);
                }
            }
            (Fault::NeverProves, _) => view.proof = Proof::Pending,
            (Fault::CountsApplies, _) => {
                let generation = self.count.load(Ordering::Relaxed);
                view.proof = Proof::Proven { generation };
            }
            _ => {}
        }
        Ok(view)
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        let mut counts = self.inner.in_flight(context, members).await?;
        if self.fault == Fault::CountsOneOnly {
            counts.truncate(1);
        }
        Ok(counts)
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        if self.fault == Fault::StaysSilent {
            return Ok(Box::pin(futures::stream::pending()));
        }
        self.inner.watch(context).await
    }
}

fn target(inner: Arc<dyn Target>, fault: Fault) -> Arc<dyn Target> {
    Arc::new(Broken::<dyn Target>::new(inner, fault))
}

fn router(inner: Arc<dyn TrafficRouter>, fault: Fault) -> Arc<dyn TrafficRouter> {
    Arc::new(Broken::<dyn TrafficRouter>::new(inner, fault))
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_target_is_found_by_name() {
    for (fault, name) in [
        (Fault::CreatesAnew, "said-twice-is-said-once"),
        (Fault::CreatesAnew, "each-call-may-be-made-twice"),
        (Fault::CreatesAnew, "each-answer-may-be-lost"),
        (Fault::IgnoresEpochs, "an-older-epoch-is-refused"),
        (Fault::IgnoresEpochs, "what-is-made-is-labelled"),
        (Fault::RefusesNewOwners, "a-newer-epoch-takes-over"),
        (Fault::SeesNothingOnErrors, "unknown-is-not-zero"),
        (Fault::HidesWhatStops, "observation-is-reality"),
        (Fault::CannotRemoveNothing, "a-removed-set-is-gone"),
        (Fault::RemovesAll, "other-sets-are-not-touched"),
        (Fault::IgnoresVictims, "shrinking-takes-the-named-ones"),
        (Fault::NamingRemoves, "naming-alone-removes-nothing"),
        (Fault::PreparesAnew, "the-same-release-is-the-same-artifact"),
        (Fault::RetriesMissing, "a-missing-artifact-is-refused-for-good"),
        (Fault::TakesAnyArtifact, "a-set-keeps-its-artifact"),
        (Fault::CountsTheDead, "what-ended-is-replaced-by-the-next-apply"),
        (Fault::StaysSilent, "a-change-gives-a-hint"),
        (Fault::KnowsStrangers, "nothing-is-known-of-strangers"),
        (Fault::KnowsStrangers, "an-end-leaves-evidence"),
        (Fault::EvidenceHangs, "nothing-is-known-of-strangers"),
        (Fault::Panics, "a-wrong-config-is-refused-with-all-problems"),
        (Fault::StaysBusy, "a-dropped-apply-can-be-said-again"),
    ] {
        let rig =
            FakeRig { target_fault: Some(Box::new(move |inner| target(inner, fault))), ..FakeRig::plain() };
        let report = conformance::target(&rig).await;
        assert!(report.failed().contains(&name), "{fault:?} was not found by {name}: {report}");
        assert!(report.passed().len() > 10, "{fault:?}: one fault, not all: {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_router_is_found_by_name() {
    for (fault, name) in [
        (Fault::TwoSteps, "a-split-is-one-step"),
        (Fault::TwoSteps, "a-dropped-apply-is-the-old-split-or-the-new-one"),
        (Fault::IgnoresEpochs, "an-older-epoch-is-refused"),
        (Fault::RefusesNewOwners, "a-newer-epoch-takes-over"),
        (Fault::CountsApplies, "said-twice-is-said-once"),
        (Fault::ForgetsMembers, "what-was-accepted-is-current"),
        (Fault::NeverProves, "a-switch-is-proven-in-time"),
        (Fault::TakesNonsense, "what-makes-no-sense-is-refused"),
        (Fault::CountsOneOnly, "in-flight-answers-for-each-member"),
        (Fault::StaysSilent, "a-change-gives-a-hint"),
    ] {
        let rig =
            FakeRig { router_fault: Some(Box::new(move |inner| router(inner, fault))), ..FakeRig::plain() };
        let report = conformance::router(&rig).await;
        assert!(report.failed().contains(&name), "{fault:?} was not found by {name}: {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn whole_deployments_find_faults_too() {
    for (fault, name) in [
        (Fault::CreatesAnew, "blue-green-with-each-call-twice"),
        (Fault::RefusesNewOwners, "rolling-goes-live"),
    ] {
        let mut rig = FakeRig::many(WorldSettings::default());
        rig.target_fault = Some(Box::new(move |inner| target(inner, fault)));
        rig.budget = Duration::from_secs(1);
        let report = conformance::deployment(&rig).await;
        assert!(report.failed().contains(&name), "{fault:?} was not found by {name}: {report}");
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "matters:  an answer that is lost makes the engine call again")]
async fn a_failed_report_says_why_it_matters() {
    let target_fault: crate::fake::Around<dyn Target> = Box::new(|inner| target(inner, Fault::CreatesAnew));
    conformance::target(&FakeRig { target_fault: Some(target_fault), ..FakeRig::plain() }).await.assert();
}
