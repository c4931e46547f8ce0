//! Another deployer that goes on.

use std::{fs, time::Duration};

use deployer_core::{
    model::{Proof, Split, TrafficView},
    ports::TrafficRouter as _,
};
use deployer_nginx::{ReloadRouter, Server, config::WorkloadFile};
use tokio::time::{Instant, sleep};

use crate::support::{LIMIT, Stage, context, serves};

/// What a resuming deployer found.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) view: TrafficView,
    pub(crate) reloads: u64,
    /// What `current` said on the way.
    pub(crate) errors: Vec<String>,
}

/// A deployer that knows nothing asks until it has a proof; then file, marker and answers have to agree.
pub(crate) async fn resume(stage: &Stage) -> Resumed {
    let server = Server::find(stage.server().settings().clone()).await.unwrap();
    let router = ReloadRouter::new(server.clone(), stage.web.clone());
    let deadline = Instant::now() + LIMIT;
    let mut errors = Vec::new();
    let view = loop {
        match router.current(&context(&stage.web, 6)).await {
            Ok(view) if matches!(view.proof, Proof::Proven { .. }) => break view,
            Ok(_) => {}
            Err(error) => errors.push(error.report()),
        }
        assert!(Instant::now() < deadline, "no proof; {errors:?}");
        sleep(Duration::from_millis(5)).await;
    };
    let file = WorkloadFile::parse(&fs::read_to_string(stage.file()).unwrap()).unwrap();
    let answer = server.ask("GET", "/generation/web", b"", LIMIT).await.unwrap();
    assert_eq!(answer.body.split(' ').next(), Some(file.generation.to_string().as_str()), "{file:?}");
    assert_eq!((&file.split, view.proof), (&view.split, Proof::Proven { generation: file.generation }));
    serves(&stage.backends, stage.listen, &view.split).await;
    Resumed { view, reloads: server.reloads().await, errors }
}

/// The resuming deployer can switch on.
pub(crate) async fn switch_on(stage: &Stage, epoch: u64, split: &Split) {
    let server = Server::find(stage.server().settings().clone()).await.unwrap();
    let router = ReloadRouter::new(server, stage.web.clone());
    router.apply(&context(&stage.web, epoch), split).await.unwrap();
    crate::support::proven(&router, &context(&stage.web, epoch), split).await;
    serves(&stage.backends, stage.listen, split).await;
}
