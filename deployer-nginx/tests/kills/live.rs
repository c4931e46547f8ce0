//! Killed while it switches without a reload: at each change of a file, and while nginx is told.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use deployer_core::{
    model::{Proof, Split, WorkloadId},
    ports::TrafficRouter as _,
};
use deployer_nginx::{LiveRouter, NginxSettings, OwnServer, OwnSettings, RouterKind, Server};
use deployer_testkit::{cases::say, conformance::Backends};

use super::{child::Order, events::Watch, steps::block_on};
use crate::support::{LIMIT, all_to, context, nginx, proven, serves, workload};

/// More than any switch has.
const MOST_STEPS: usize = 40;
/// How often all steps are gone through, at most.
const ROUNDS: usize = 10;
/// Telling nginx takes about a millisecond after the file is there.
const MOMENTS: u32 = 15;
const MOMENT: Duration = Duration::from_micros(100);

/// What a killed deployer left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    /// As if it had never begun.
    Old,
    /// The file says so, and nginx did not know yet.
    Untold,
    /// A whole switch.
    New,
}

/// An nginx with the live router, and two sets to switch between.
#[derive(Debug)]
struct LiveStage {
    own: OwnServer,
    backends: Backends,
    web: WorkloadId,
    listen: SocketAddr,
    sets: [Split; 2],
    _folder: tempfile::TempDir,
}

impl LiveStage {
    async fn start() -> Self {
        nginx();
        let folder = tempfile::tempdir().unwrap();
        let settings = NginxSettings { router: Some(RouterKind::Live), ..NginxSettings::default() };
        let settings = OwnSettings { nginx: settings, ..OwnSettings::new(folder.path()) };
        let own = OwnServer::start(settings, &[]).await.unwrap();
        let web = workload("web");
        let listen = own.add(&web, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let backends = Backends::new();
        let mut sets = Vec::new();
        for set in ["v1", "v2"] {
            sets.push(all_to(set, &backends.members(&set.parse().unwrap(), 1).await));
        }
        let stage = Self { own, backends, web, listen, sets: sets.try_into().unwrap(), _folder: folder };
        stage.switch_on(&stage.sets[0]).await;
        stage
    }

    /// As a deployer that knows nothing.
    async fn router(&self) -> LiveRouter {
        let server = Server::find(self.own.server().settings().clone()).await.unwrap();
        LiveRouter::new(server, self.web.clone())
    }

    async fn switch_on(&self, split: &Split) {
        let router = self.router().await;
        router.apply(&context(&self.web, 5), split).await.unwrap();
        proven(&router, &context(&self.web, 5), split).await;
        serves(&self.backends, self.listen, split).await;
    }

    /// Switches in a process of its own, which is killed so many steps and so much later; `None` if it ended before.
    /// Then somebody else looks once: file and nginx have to agree.
    async fn kill(&self, number: usize, steps: usize, later: Duration) -> Option<(Left, String)> {
        let (old, new) = (&self.sets[number % 2], &self.sets[(number + 1) % 2]);
        let order = Order {
            settings: self.own.server().settings().clone(),
            workload: self.web.clone(),
            epoch: 5,
            split: new.clone(),
        };
        let directory = self.own.server().paths().directory();
        let watch = Watch::on(&["state", "run/locks"].map(|name| directory.join(name)));
        let last = watch.kill_later(steps, later, order.start())?;
        let before = self.in_force().await;
        let router = self.router().await;
        let view = router.current(&context(&self.web, 6)).await.unwrap();
        assert!(view.split == *old || view.split == *new, "after {last}: {view:?}");
        let Proof::Proven { generation } = view.proof else { panic!("after {last}: {view:?}") };
        assert_eq!(self.in_force().await, generation, "after {last}");
        let file = std::fs::read_to_string(self.own.server().paths().state(&self.web)).unwrap();
        assert!(file.contains(&format!("\ngeneration {generation}\n")), "after {last}: {file}");
        serves(&self.backends, self.listen, &view.split).await;
        assert_eq!(
            router.current(&context(&self.web, 6)).await.unwrap(),
            view,
            "looking twice is looking once"
        );
        let left = match view.split == *new {
            false => Left::Old,
            true if before == generation => Left::New,
            true => Left::Untold,
        };
        self.switch_on(new).await;
        Some((left, last))
    }

    /// Which number nginx has.
    async fn in_force(&self) -> u64 {
        let told = self.own.server().ask("GET", "/live/web/split", b"", LIMIT).await.unwrap();
        told.body.split(' ').next().unwrap().parse().unwrap()
    }
}

pub(crate) fn at_each_step() {
    block_on(async {
        let stage = LiveStage::start().await;
        let mut ends = Vec::new();
        // On a busy machine a kill comes later than the step that it follows, so the early ones are made until one is in
        // time. What each of them leaves has to be right.
        for _ in 0..ROUNDS {
            for steps in 1..MOST_STEPS {
                let Some((left, last)) = stage.kill(ends.len(), steps, Duration::ZERO).await else { break };
                say(&format!("live switch killed after step {steps}, {last}: {left:?}"));
                ends.push(left);
            }
            if ends.contains(&Left::Old) && ends.iter().any(|left| *left != Left::Old) {
                break;
            }
        }
        say(&format!("{} kills of a live switch: {ends:?}", ends.len()));
        assert!(ends.len() >= 4, "{ends:?}");
        assert!(ends.contains(&Left::Old) && ends.iter().any(|left| *left != Left::Old), "{ends:?}");
    });
}

pub(crate) fn while_nginx_is_told() {
    block_on(async {
        let stage = LiveStage::start().await;
        let renamed = renaming(&stage).await;
        let mut ends: BTreeMap<Left, usize> = BTreeMap::new();
        for (number, moment) in (0..MOMENTS).enumerate() {
            let later = MOMENT * moment;
            let (left, _) = stage.kill(number, renamed, later).await.unwrap();
            *ends.entry(left).or_default() += 1;
        }
        say(&format!(
            "killed up to {:.1?} after the file was in its place: {ends:?}",
            MOMENT * (MOMENTS - 1)
        ));
        assert!(!ends.contains_key(&Left::Old), "what is in the file is what holds: {ends:?}");
    });
}

/// After how many steps the file is in its place.
async fn renaming(stage: &LiveStage) -> usize {
    // An even number of switches leaves the sets as they were.
    for steps in 1..MOST_STEPS {
        let Some((_, last)) = stage.kill(0, steps, Duration::ZERO).await else { break };
        stage.switch_on(&stage.sets[0]).await;
        if last.contains("web.live") && last.contains("MOVED_TO") {
            return steps;
        }
    }
    panic!("the file was never put into its place");
}
