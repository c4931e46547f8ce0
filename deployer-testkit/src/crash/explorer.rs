//! Crashing a deployment wherever it can be.

use std::{future::Future, sync::Arc, time::Duration};

use deployer_core::{
    engine::Report,
    error::{DeployError, report},
    event::Event,
    strategy::Outcome,
};

use super::{CrashAt, CrashPoint, CrashRun, CrashScene, Told, Trail};
use crate::inject::Injector;

/// How often a deployment is started again that stops by itself without an end.
const STARTS: usize = 8;

/// Crashes a deployment wherever it can be, and compares what comes of it with a run that nobody disturbed.
///
/// `make` makes the scene anew for each run. In a runtime with paused time a run takes a few milliseconds.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use deployer_core::{
/// #     engine::Deployment, error::DeployError, journal::MemoryJournal, lock::MemoryLock,
/// #     model::{ReleaseId, WorkloadId}, ports::{Journal, Lock, Target, TrafficRouter},
/// #     strategy::{BlueGreen, Outcome},
/// # };
/// # use deployer_testkit::{
/// #     TestClock, crash::{CrashScene, Explorer}, inject::{Injector, Wrapped}, world::{World, WorldSettings},
/// # };
/// struct FirstRelease {
///     world: World,
///     clock: Arc<TestClock>,
///     journal: Arc<MemoryJournal>,
///     lock: Arc<MemoryLock>,
/// }
///
/// #[async_trait::async_trait]
/// impl CrashScene for FirstRelease {
///     type End = (Outcome, u32);
///
///     fn deployment(&self, injector: Arc<dyn Injector>) -> Result<Deployment, DeployError> {
///         let (target, router) = (self.world.target(), self.world.router());
///         let target = Wrapped::<dyn Target>::new(target, injector.clone());
///         let router = Wrapped::<dyn TrafficRouter>::new(router, injector.clone());
///         let journal = Wrapped::<dyn Journal>::new(self.journal.clone(), injector.clone());
///         let lock = Wrapped::<dyn Lock>::new(self.lock.clone(), injector);
///         Deployment::builder("web")
///             .id("first")
///             .release(World::release(ReleaseId::new("v1").unwrap()).release)
///             .replicas(2)
///             .strategy(BlueGreen::default())
///             .target(Arc::new(target) as Arc<dyn Target>)
///             .router(Arc::new(router) as Arc<dyn TrafficRouter>)
///             .journal(Arc::new(journal) as Arc<dyn Journal>)
///             .lock(Arc::new(lock) as Arc<dyn Lock>)
///             .check(self.world.health())
///             .clock(self.clock.clone())
///             .build()
///     }
///
///     fn journal(&self) -> Arc<dyn Journal> {
///         self.journal.clone()
///     }
///
///     fn workload(&self) -> WorkloadId {
///         WorkloadId::new("web").unwrap()
///     }
///
///     async fn between(&self) {}
///
///     async fn end(&self, outcome: &Outcome) -> Self::End {
///         (outcome.clone(), self.world.started())
///     }
///
///     async fn problems(&self) -> Vec<String> {
///         self.world.incidents().iter().map(ToString::to_string).collect()
///     }
/// }
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// runtime.block_on(async {
///     let make = async || {
///         let clock = Arc::new(TestClock::new());
///         let world = World::new(WorldSettings::default(), clock.clone());
///         FirstRelease { world, clock, journal: Arc::default(), lock: Arc::default() }
///     };
///     let explorer = Explorer::new(make, Duration::from_secs(3600)).await.unwrap();
///     assert!(explorer.points().len() > 20);
///     for point in explorer.points() {
///         let run = explorer.run(&[point.clone()]).await;
///         assert_eq!(run.problems, Vec::<String>::new(), "{run}");
///     }
/// });
/// ```
#[derive(Debug)]
pub struct Explorer<F, E> {
    make: F,
    limit: Duration,
    end: E,
    points: Vec<CrashPoint>,
}

impl<S: CrashScene, F: AsyncFn() -> S> Explorer<F, S::End> {
    /// Runs the deployment once without a crash. No run may take longer than `limit`.
    ///
    /// # Errors
    /// That run had no end, or left something wrong behind.
    pub async fn new(make: F, limit: Duration) -> Result<Self, Vec<String>> {
        let scene = make().await;
        let trail = Arc::new(Trail::new());
        let Some(result) = within(limit, whole(&scene, trail.clone())).await else {
            return Err(vec![format!("an undisturbed run has no end within {limit:?}")]);
        };
        let told = read(&scene, 0).await;
        let mut problems = scene.problems().await;
        problems.extend(told.problems);
        let Some(outcome) = told.outcome.filter(|_| problems.is_empty()) else {
            problems.push(format!("an undisturbed run ended with {result:?}"));
            return Err(problems);
        };
        Ok(Self { make, limit, end: scene.end(&outcome).await, points: trail.points() })
    }

    /// All points of the undisturbed run, in order.
    pub fn points(&self) -> &[CrashPoint] {
        &self.points
    }

    /// How the undisturbed run ended.
    pub fn end(&self) -> &S::End {
        &self.end
    }

    /// Starts a deployment as often as there are points, crashes it at one each time, and lets it go on in the end.
    pub async fn run(&self, crashes: &[CrashPoint]) -> CrashRun {
        let scene = (self.make)().await;
        let mut run = CrashRun { crashes: crashes.to_vec(), ..CrashRun::default() };
        for point in crashes {
            let at = Arc::new(CrashAt::new(point.clone()));
            let start = Box::pin(whole(&scene, at.clone()));
            match within(self.limit, at.crashed(start)).await {
                Some(None) => run.reached += 1,
                Some(Some(result)) => {
                    run.problems.push(format!("it ended before {point} was reached, with {result:?}"));
                    return run;
                }
                None => {
                    run.problems.push(format!("{point} was not reached within {:?}", self.limit));
                    return run;
                }
            }
            scene.between().await;
        }
        self.finish(&scene, &mut run).await;
        run
    }

    /// Lets it come to its end and judges that.
    async fn finish(&self, scene: &S, run: &mut CrashRun) {
        let trail = Arc::new(Trail::new());
        let Some(result) = within(self.limit, whole(scene, trail.clone())).await else {
            run.problems.push(format!("it has no end within {:?}", self.limit));
            return;
        };
        run.rest = trail.points();
        let told = read(scene, run.reached).await;
        run.resumed = told.resumed;
        run.problems.extend(told.problems);
        if let Some(outcome) = told.outcome {
            let end = scene.end(&outcome).await;
            if end != self.end {
                run.problems.push(format!("it ended as {end:?}, undisturbed as {:?}", self.end));
            }
            // Where the last record was durable all there is left to learn is that.
            let is_right = match &result {
                Err(DeployError::Refused(_)) => run.rest.is_empty(),
                other => !run.rest.is_empty() && other.is_ok() == (outcome == Outcome::Succeeded),
            };
            if !is_right {
                run.problems.push(format!("its journal says {outcome:?}, and the caller got {result:?}"));
            }
        }
        run.problems.extend(scene.problems().await);
        run.problems.extend(again(scene, self.limit).await);
    }
}

async fn within<T>(limit: Duration, run: impl Future<Output = T>) -> Option<T> {
    Box::pin(tokio::time::timeout(limit, run)).await.ok()
}

/// Runs it to its end, however often it is interrupted.
async fn whole<S: CrashScene>(scene: &S, injector: Arc<dyn Injector>) -> Result<Report, DeployError> {
    let mut result = scene.deployment(injector.clone())?.run().await;
    for _ in 1..STARTS {
        if !matches!(result, Err(DeployError::Interrupted { .. })) {
            break;
        }
        result = scene.deployment(injector.clone())?.run().await;
    }
    result
}

async fn read<S: CrashScene>(scene: &S, crashes: usize) -> Told {
    match newest(scene).await {
        Ok(events) => Told::of(&events, crashes),
        Err(problem) => Told { outcome: None, resumed: 0, problems: vec![problem] },
    }
}

async fn newest<S: CrashScene>(scene: &S) -> Result<Vec<Event>, String> {
    let journal = scene.journal();
    let all = journal.list(&scene.workload()).await.map_err(|error| report(&error))?;
    let newest = all.last().ok_or("it has no journal")?;
    journal.load(newest).await.map_err(|error| report(&error))
}

/// What has ended stays as it is.
async fn again<S: CrashScene>(scene: &S, limit: Duration) -> Vec<String> {
    let trail = Arc::new(Trail::new());
    let result = within(limit, whole(scene, trail.clone())).await;
    let mut problems = Vec::new();
    if !trail.calls().is_empty() {
        problems.push(format!("it had ended, and when started again it did {}", trail.calls().join(", ")));
    }
    if !matches!(result, Some(Err(DeployError::Refused(_)))) {
        problems.push(format!("it had ended, and when started again it was not refused: {result:?}"));
    }
    problems
}
