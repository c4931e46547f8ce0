//! A workload in the fake world, what is done to it, and who is there meanwhile.

use std::{ops::Deref, sync::Arc, time::Duration};

use deployer::{
    engine::{Control, Deployment, DeploymentBuilder},
    model::{Amount, InstanceId},
    ports::{Journal as _, Lock as _},
    strategy::{Rolling, RollingSettings, Strategy},
};
use deployer_testkit::world::{Call, CallKind, Incident, World, WorldSettings};
use futures::StreamExt as _;

use super::{Ended, Film, Frame, seconds};
use crate::stand::Stand;

/// How long a scenario waits for what it waits for, in virtual time.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A workload that is filmed while it is deployed.
pub(crate) struct Scene {
    stand: Stand,
    replicas: u32,
}

impl Deref for Scene {
    type Target = Stand;

    fn deref(&self) -> &Stand {
        &self.stand
    }
}

impl Scene {
    /// v1 serves with so many instances.
    pub(crate) async fn serving(replicas: u32) -> Self {
        Self::serving_in(WorldSettings::default(), replicas).await
    }

    /// v1 serves in such a world.
    pub(crate) async fn serving_in(settings: WorldSettings, replicas: u32) -> Self {
        let scene = Self::empty(settings, replicas);
        scene.go_live("v1").await;
        scene
    }

    /// Nothing was ever deployed.
    pub(crate) fn empty(settings: WorldSettings, replicas: u32) -> Self {
        Self { stand: Stand::empty(settings), replicas }
    }

    /// Puts a release live, quickly.
    pub(crate) async fn go_live(&self, release: &str) {
        let settings = RollingSettings {
            surge: Amount::Count(self.replicas),
            settle_window: Duration::ZERO,
            ..RollingSettings::default()
        };
        let quickly = Rolling::new(settings).unwrap();
        self.deployment(release, quickly).build().unwrap().run().await.unwrap();
    }

    /// A deployment of this release with the replicas of the scene.
    pub(crate) fn deployment(&self, release: &str, strategy: impl Strategy) -> DeploymentBuilder {
        self.stand.deployment(release, strategy).replicas(self.replicas)
    }

    /// A deployment of this release by a strategy out of a list.
    pub(crate) fn deployment_by(&self, release: &str, strategy: &Arc<dyn Strategy>) -> DeploymentBuilder {
        self.deployment(release, Rolling::default()).strategy(strategy.clone())
    }

    /// A deployment of a workload that is not sent requests.
    pub(crate) fn unrouted(&self, release: &str) -> DeploymentBuilder {
        Deployment::builder(self.workload.clone())
            .release(World::release(release.try_into().unwrap()).release)
            .replicas(self.replicas)
            .strategy(super::rolling(1, 0))
            .target(self.world.target())
            .check(self.world.health())
            .journal(self.journal.clone())
            .lock(self.lock.clone())
            .clock(self.clock.clone())
    }

    /// Runs it with nobody there.
    pub(crate) async fn run(&self, deployment: DeploymentBuilder) -> Ended {
        self.run_with(deployment, async |_: &Person<'_>| ()).await
    }

    /// Runs it while somebody does something.
    pub(crate) async fn run_with(
        &self,
        deployment: DeploymentBuilder,
        person: impl AsyncFnOnce(&Person<'_>),
    ) -> Ended {
        let began = self.now();
        let mut film = Film::default();
        let result = match deployment.build() {
            Err(error) => Err(error),
            Ok(deployment) => {
                let present = Person { scene: self, control: deployment.control() };
                let both = async { tokio::join!(deployment.run(), person(&present)) };
                tokio::select! {
                    biased;
                    () = self.record(&mut film) => unreachable!("the world has no end"),
                    (result, ()) = both => result,
                }
            }
        };
        film.take(self.frame());
        let events = self.events_of_last().await;
        Ended { result, film, events, began, took: self.now().since(began) }
    }

    /// Runs it until this is so, and then its process is gone.
    pub(crate) async fn crash(
        &self,
        deployment: DeploymentBuilder,
        what: &str,
        is_so: impl Fn(&Frame) -> bool,
    ) -> Film {
        let mut film = Film::default();
        let deployment = deployment.build().unwrap();
        tokio::select! {
            biased;
            () = self.record(&mut film) => {}
            () = self.until(what, is_so) => {}
            result = deployment.run() => panic!("it ended before it could crash: {result:?}"),
        }
        film.take(self.frame());
        film
    }

    /// Waits for something to be so in the world.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Frame) -> bool) {
        let waiting = async {
            let mut changes = self.world.changes();
            while !is_so(&self.frame()) {
                changes.next().await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(ended.is_ok(), "it never came to this: {what}: {:#?}", self.frame());
    }

    /// Lets time pass. It is virtual (`start_paused = true` of the runtime), so this takes none.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// What is true now.
    pub(crate) fn frame(&self) -> Frame {
        Frame::of(&self.world, &self.workload, self.now())
    }

    /// Every instance of a set that there is.
    pub(crate) fn instances(&self, set: &str) -> Vec<InstanceId> {
        let labels = self.world.labels(&self.workload);
        labels.into_iter().filter(|one| one.set.as_str() == set).map(|one| one.instance).collect()
    }

    /// The newest instances of a set end by themselves.
    pub(crate) fn kill(&self, set: &str, count: usize) {
        let left = self.frame().existing(set).checked_sub(count.try_into().unwrap()).unwrap();
        for victim in self.instances(set).iter().rev() {
            if self.frame().existing(set) == left {
                break;
            }
            self.world.kill(victim);
        }
    }

    /// Calls so far that change the world.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.world.calls().into_iter().filter(|call| call.kind.writes()).collect()
    }

    /// How many of them there were.
    pub(crate) fn written(&self) -> u64 {
        [CallKind::Apply, CallKind::Remove, CallKind::Shift]
            .map(|kind| self.world.calls_of(kind))
            .iter()
            .sum()
    }

    /// Fails unless nobody did harm: no request was cut off, misled or left without an answer.
    #[track_caller]
    pub(crate) fn assert_unharmed(&self) {
        let caused: Vec<_> = self.world.incidents().into_iter().filter(Incident::is_caused).collect();
        assert!(caused.is_empty(), "{caused:?}");
    }

    /// Fails unless this release is live, alone, whole, and nobody was hurt on the way.
    #[track_caller]
    pub(crate) fn assert_live(&self, release: &str) {
        self.assert_size(release, self.replicas);
    }

    /// The same with so many instances.
    #[track_caller]
    pub(crate) fn assert_size(&self, release: &str, replicas: u32) {
        self.stand.assert_live(release, replicas);
    }

    /// Fails unless this release is alone and whole in rotation, whoever was hurt on the way.
    #[track_caller]
    pub(crate) fn assert_size_in_rotation(&self, release: &str) {
        let frame = self.frame();
        assert_eq!(
            (frame.available(release), frame.all_existing()),
            (self.replicas, self.replicas),
            "{frame:?}"
        );
    }

    /// Fails while anybody holds the lock.
    pub(crate) async fn assert_unlocked(&self) {
        let holder = self.lock.holder(&self.workload).await.unwrap();
        assert!(holder.is_none(), "{holder:?}");
    }

    /// How many deployments the journal has.
    pub(crate) async fn deployments(&self) -> usize {
        self.journal.list(&self.workload).await.unwrap().len()
    }

    async fn events_of_last(&self) -> Vec<deployer::event::Event> {
        match self.journal.list(&self.workload).await.unwrap().pop() {
            Some(last) => self.journal.load(&last).await.unwrap(),
            None => Vec::new(),
        }
    }

    async fn record(&self, film: &mut Film) {
        let mut changes = self.world.changes();
        loop {
            film.take(self.frame());
            changes.next().await;
        }
    }
}

/// Somebody who is there while a deployment runs.
pub(crate) struct Person<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) control: Control,
}

impl Person<'_> {
    pub(crate) async fn wait(&self, time: u64) {
        self.scene.pass(seconds(time)).await;
    }

    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Frame) -> bool) {
        self.scene.until(what, is_so).await;
    }

    /// Waits until a set gets so many percent of the requests, and a moment longer: until the deployer knows it.
    pub(crate) async fn weight(&self, set: &str, percent: u32) {
        self.until(&format!("{set} has {percent} %"), |frame| frame.weight(set) == percent).await;
        self.wait(1).await;
    }

    pub(crate) fn abort(&self) {
        self.control.abort("a person said so");
    }
}
