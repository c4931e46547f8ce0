//! An nginx of one's own with one workload, in front of members that say who they are.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use deployer_core::{
    error::BackendError,
    model::{Epoch, Member, Proof, SetId, Share, Split, TrafficView, WorkloadId},
    ports::{CallContext, TrafficRouter},
};
use deployer_nginx::{NginxSettings, OwnServer, OwnSettings, ReloadRouter, RouterKind, Server};
use deployer_testkit::conformance::{Ask, Backends};
use tokio::time::{Instant, sleep};

use super::{LIMIT, nginx, workload};

/// An nginx of one's own with the workload `web`.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) own: OwnServer,
    pub(crate) backends: Backends,
    pub(crate) web: WorkloadId,
    pub(crate) listen: SocketAddr,
    pub(crate) router: ReloadRouter,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn start(settings: NginxSettings) -> Self {
        Self::start_with(settings, 2).await
    }

    /// With so many workers.
    pub(crate) async fn start_with(settings: NginxSettings, worker_processes: u16) -> Self {
        nginx();
        let folder = tempfile::tempdir().expect("a folder");
        let nginx = NginxSettings { router: Some(RouterKind::Reload), ..settings };
        let settings = OwnSettings { nginx, worker_processes, ..OwnSettings::new(folder.path()) };
        let own = OwnServer::start(settings, &[]).await.expect("an own nginx");
        let web = workload("web");
        let listen = own.add(&web, ([127, 0, 0, 1], 0).into()).await.expect("a listener");
        let router = ReloadRouter::new(own.server().clone(), web.clone());
        Self { own, backends: Backends::new(), web, listen, router, _folder: folder }
    }

    pub(crate) fn server(&self) -> &Server {
        self.own.server()
    }

    pub(crate) fn context(&self) -> CallContext {
        context(&self.web, 5)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.server().paths().workload(&self.web)
    }

    /// Writes a file that is not ours into the `http` block.
    pub(crate) fn write_foreign(&self, text: &str) {
        fs::write(self.own.directory().join("http.d/foreign.conf"), text).expect("a file");
    }

    pub(crate) async fn members(&self, set: &str, count: usize) -> Vec<Member> {
        self.backends.members(&SetId::new(set).expect("a name"), count).await
    }

    /// A set of one member that has all requests, proven.
    pub(crate) async fn serving(&self, set: &str) -> Split {
        let split = all_to(set, &self.members(set, 1).await);
        self.router.apply(&self.context(), &split).await.expect("a switch");
        self.proven(&split).await;
        split
    }

    /// Waits until the router proves this split, and asks whether it is true.
    pub(crate) async fn proven(&self, split: &Split) -> TrafficView {
        let view = proven(&self.router, &self.context(), split).await;
        self.serves(split).await;
        view
    }

    /// Whether all of ten new connections reach members of this split, and nobody else.
    pub(crate) async fn serves(&self, split: &Split) {
        serves(&self.backends, self.listen, split).await;
    }

    /// What a refused switch to this split says; the file is the same afterwards.
    pub(crate) async fn refusal(&self, split: &Split) -> BackendError {
        let before = fs::read(self.file()).expect("a file");
        let error = self.router.apply(&self.context(), split).await.expect_err("a refusal");
        let after = fs::read(self.file()).expect("a file");
        assert!(before == after, "the file changed: {}", error.report());
        error
    }
}

pub(crate) fn context(workload: &WorkloadId, epoch: u64) -> CallContext {
    CallContext {
        workload: workload.clone(),
        deployment: "by-hand".parse().expect("a name"),
        epoch: Epoch(epoch),
        deadline: LIMIT,
    }
}

pub(crate) fn share(set: &str, weight: u32, members: &[Member]) -> Share {
    Share { set: SetId::new(set).expect("a name"), weight, members: members.to_vec() }
}

pub(crate) fn all_to(set: &str, members: &[Member]) -> Split {
    Split::Serve { shares: vec![share(set, 100, members)], routes: Vec::new() }
}

/// Waits until a router proves this split.
pub(crate) async fn proven(router: &dyn TrafficRouter, context: &CallContext, split: &Split) -> TrafficView {
    let deadline = Instant::now() + LIMIT;
    loop {
        let view = router.current(context).await.expect("a view");
        assert_eq!(view.split, *split);
        if matches!(view.proof, Proof::Proven { .. }) {
            return view;
        }
        assert!(Instant::now() < deadline, "no proof: {view:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether all of ten new connections reach members of this split, and nobody else.
pub(crate) async fn serves(backends: &Backends, listen: SocketAddr, split: &Split) {
    for _ in 0..10 {
        let answer = backends.ask(listen, &Ask::default()).await;
        let is_one = |member: &Member| answer.by.as_ref() == Some(&member.instance);
        let right =
            answer.status == 200 && split.shares().iter().flat_map(|share| &share.members).any(is_one);
        assert!(right, "{answer:?} does not follow {split:?}");
    }
}

/// All files below a directory with what is in them, the socket and the locks left out.
pub(crate) fn snapshot(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("run") {
                open.push(path);
            } else if path.is_file() {
                let content = fs::read(&path).expect("a file");
                found.push((path, content));
            }
        }
    }
    found.sort();
    found
}
