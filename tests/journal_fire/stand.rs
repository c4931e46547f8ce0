//! A workload in the fake world with a journal in files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use deployer::{
    engine::{Deployment, DeploymentBuilder, Report},
    error::DeployError,
    event::{Event, EventKind},
    journal::FileJournal,
    lock::FileLock,
    model::{Amount, DeploymentId, Percent, ReleaseId, RolloutSettings, SetId, WorkloadId},
    ports::{Journal as _, JournalError},
    strategy::{
        BlueGreen, BlueGreenSettings, Canary, CanarySettings, CanaryStep, Command, Recreate, Rolling,
        RollingSettings, StepPause, Strategy,
    },
};
use deployer_testkit::{
    TestClock,
    world::{Behaviour, Call, CallKind, World, WorldSettings},
};

pub(crate) const REPLICAS: u32 = 3;

/// How the second release is put live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rolling,
    BlueGreen,
    Canary,
    Recreate,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Rolling, Self::BlueGreen, Self::Canary, Self::Recreate];

    fn strategy(self) -> Arc<dyn Strategy> {
        match self {
            Self::Rolling => {
                let surge = RollingSettings { surge: Amount::Count(1), ..RollingSettings::default() };
                Arc::new(Rolling::new(surge).unwrap())
            }
            Self::BlueGreen => Arc::new(BlueGreen::new(BlueGreenSettings::default()).unwrap()),
            Self::Canary => {
                let pause = StepPause::For(Duration::from_secs(5));
                let step = CanaryStep { weight: Percent::new(34).unwrap(), instances: None, pause };
                let settings = CanarySettings { steps: vec![step], ..CanarySettings::default() };
                Arc::new(Canary::new(settings).unwrap())
            }
            Self::Recreate => Arc::new(Recreate::default()),
        }
    }
}

/// One workload of a fake world. What is kept in files is in a directory that others know.
pub(crate) struct Stand {
    pub(crate) world: World,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) directory: PathBuf,
    pub(crate) kind: Kind,
}

/// Runs a case in virtual time, with one thread for all files: calls that are to fail are counted a thread.
pub(crate) fn virtually<T>(case: impl AsyncFnOnce() -> T) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).max_blocking_threads(1);
    builder.build().unwrap().block_on(case())
}

/// A directory in memory where there is one: thousands of syncs are waited for.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Stand {
    /// Nothing runs yet.
    pub(crate) fn empty(directory: &Path, kind: Kind) -> Self {
        let clock = Arc::new(TestClock::new());
        let world = World::new(WorldSettings::default(), clock.clone());
        Self { world, clock, directory: directory.to_owned(), kind }
    }

    /// v1 was deployed and serves; its deployment is `d1`.
    pub(crate) async fn serving(directory: &Path, kind: Kind) -> Self {
        let stand = Self::empty(directory, kind);
        stand.run("v1", "d1").await.unwrap();
        stand
    }

    /// A deployment with a journal and a lock that are opened anew, as a new process does.
    pub(crate) fn deployment(&self, release: &str) -> DeploymentBuilder {
        Deployment::builder("web")
            .release(World::release(ReleaseId::new(release).unwrap()).release)
            .replicas(REPLICAS)
            .strategy(self.kind.strategy())
            .target(self.world.target())
            .router(self.world.router())
            .check(self.world.health())
            .settings(RolloutSettings {
                start_deadline: Duration::from_secs(20),
                ..RolloutSettings::default()
            })
            .journal(self.journal())
            .lock(FileLock::open(&self.directory).unwrap())
            .clock(self.clock.clone())
    }

    pub(crate) fn journal(&self) -> FileJournal {
        FileJournal::open(&self.directory).unwrap()
    }

    /// Runs a deployment of this name.
    pub(crate) async fn run(&self, release: &str, id: &str) -> Result<Report, DeployError> {
        self.deployment(release).id(id).build().unwrap().run().await
    }

    /// Runs `v2` as `d2`, and dies after so much time. Whether it ended before.
    pub(crate) async fn interrupted_after(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.run("v2", "d2")).await.is_ok()
    }

    /// v2 never becomes ready.
    pub(crate) fn spoil_v2(&self) {
        let never_ready = Behaviour { never_ready: true, ..Behaviour::default() };
        self.world.behave(ReleaseId::new("v2").unwrap(), never_ready);
    }

    pub(crate) fn file(&self, id: &str) -> PathBuf {
        self.directory.join("web").join(format!("{id}.jsonl"))
    }

    pub(crate) async fn events(&self, id: &str) -> Vec<Event> {
        self.journal().load(&DeploymentId::new(id).unwrap()).await.unwrap()
    }

    pub(crate) async fn has_ended(&self, id: &str) -> bool {
        let events = self.journal().load(&DeploymentId::new(id).unwrap()).await.unwrap_or_default();
        events.last().is_some_and(|last| matches!(last.kind, EventKind::DeploymentFinished { .. }))
    }

    /// How often the world was told to change.
    pub(crate) fn effects(&self) -> usize {
        self.world.calls().iter().filter(|call| call.kind.writes()).count()
    }

    /// Fails unless exactly this release is live, alone, whole and alone in rotation, and nobody was hurt on the way.
    #[track_caller]
    pub(crate) fn assert_live(&self, release: &str, what: &str) {
        let workload = WorkloadId::new("web").unwrap();
        let orphans = self.world.orphans(&workload, &[SetId::new(release).unwrap()]);
        assert!(orphans.is_empty(), "{what}: left behind: {orphans:?}");
        assert_eq!(self.world.available(&workload), REPLICAS, "{what}");
        assert_eq!(self.world.total(&workload), REPLICAS, "{what}");
        let rotation = self.world.in_rotation(&workload);
        assert!(
            rotation.iter().all(|id| id.as_str().starts_with(release)),
            "{what}: in rotation: {rotation:?}"
        );
        let caused: Vec<_> =
            self.world.incidents().into_iter().filter(deployer_testkit::world::Incident::is_caused).collect();
        assert!(caused.is_empty() || self.kind == Kind::Recreate, "{what}: {caused:?}");
    }

    /// Fails if the world was told to do what no record says.
    pub(crate) async fn assert_intended(&self, id: &str, what: &str) {
        let events = match self.journal().load(&DeploymentId::new(id).unwrap()).await {
            Ok(events) => events,
            Err(JournalError::NotFound(_)) => Vec::new(),
            Err(other) => panic!("{what}: {other}"),
        };
        let mut intended = [0; 3];
        for event in events {
            let EventKind::Intent { commands, .. } = event.kind else { continue };
            for command in commands {
                match command {
                    Command::Apply(_) => intended[0] += 1,
                    Command::Remove(_) => intended[1] += 1,
                    Command::Shift(_) => intended[2] += 1,
                    _ => {}
                }
            }
        }
        let calls = self.world.calls();
        for (kind, intended) in [CallKind::Apply, CallKind::Remove, CallKind::Shift].into_iter().zip(intended)
        {
            let told = |call: &&Call| call.kind == kind && call.context.deployment.as_str() == id;
            let told = calls.iter().filter(told).count();
            assert!(told <= intended, "{what}: {told} calls of {kind:?}, {intended} intended");
        }
    }

    /// Fails unless the deployment is refused with all these words, and nothing was done.
    pub(crate) async fn assert_refused(&self, release: &str, words: &[&str], what: &str) {
        let (effects, files) = (self.effects(), self.files());
        let error = self.run(release, "d2").await.map(|_| ()).expect_err(what);
        assert!(matches!(error, DeployError::Refused(_)), "{what}: {error}");
        let text = error.to_string();
        for word in words.iter().chain(&["journal", "pass_over"]) {
            assert!(text.contains(word), "{what}: {word:?} is not in {text}");
        }
        assert_eq!(self.effects(), effects, "{what}: it had an effect");
        assert!(self.files() == files, "{what}: a journal was changed");
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.directory.join("web")).unwrap().map(|entry| entry.unwrap().path());
        let journals = entries.filter(|path| path.extension().is_some_and(|it| it == "jsonl"));
        let mut files: Vec<_> = journals.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    }
}

/// Removes what an earlier world left.
pub(crate) fn clear(directory: &Path) {
    let _ = fs::remove_dir_all(directory.join("web"));
}

/// The lines of a journal, each with its line feed.
pub(crate) fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}
