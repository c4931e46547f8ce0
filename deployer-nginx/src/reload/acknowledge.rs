//! Whether new connections get a configuration, and only that one.

use std::time::Duration;

use deployer_core::{error::BackendError, model::WorkloadId};
use rustix::param::clock_ticks_per_second;

use crate::{
    base,
    server::{Server, Worker, WorkerState},
};

/// The master waits 100 ms between the start of new workers and the end of old ones, and starts the workers of one
/// configuration one after the other without a wait.
const APART: Duration = Duration::from_millis(90);

/// What new connections get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// The wanted generation, and nobody accepts for another one.
    Yes,
    /// The wanted generation, but an old worker may still accept.
    Almost,
    /// Another one; `None` if nobody answers.
    Other(Option<u64>),
}

/// Asks on so many new connections, and looks at the workers.
pub(super) async fn acknowledge(
    server: &Server,
    workload: &WorkloadId,
    generation: u64,
    limit: Duration,
) -> Result<Acknowledged, BackendError> {
    let master = server.master().await?;
    let mut answered = Vec::new();
    for _ in 0..server.settings().confirmations {
        match marker(server, workload, limit).await {
            Some((running, pid)) if running == generation => answered.push(pid),
            other => return Ok(Acknowledged::Other(other.map(|(running, _)| running))),
        }
    }
    // After the questions: a worker that accepts no more now did not accept for longer than they took.
    let workers = master.workers()?;
    Ok(if only_new_ones_serve(server, &workers, &answered) {
        Acknowledged::Yes
    } else {
        Acknowledged::Almost
    })
}

/// The generation that answers on a new connection, and the worker that does.
pub(super) async fn marker(server: &Server, workload: &WorkloadId, limit: Duration) -> Option<(u64, u32)> {
    let answer = server.ask("GET", &base::marker_path(workload), b"", limit).await.ok()?;
    let (generation, pid) = answer.body.trim().split_once(' ')?;
    (answer.status == 200).then_some(())?;
    Some((generation.parse().ok()?, pid.parse().ok()?))
}

fn only_new_ones_serve(server: &Server, workers: &[Worker], answered: &[u32]) -> bool {
    let serving: Vec<&Worker> =
        workers.iter().filter(|worker| worker.state == WorkerState::Serving).collect();
    // Known by number and start, so it holds however the clocks are.
    if serving.iter().any(|worker| server.is_outdated(worker)) {
        return false;
    }
    // A deployer that was started since knows no workers, but when they were started.
    let Some(new) = serving.iter().position(|worker| answered.contains(&worker.pid)) else { return false };
    let apart = ticks(APART);
    serving[..=new].windows(2).all(|pair| pair[1].start_time - pair[0].start_time < apart)
}

fn ticks(duration: Duration) -> u64 {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    (milliseconds * clock_ticks_per_second() / 1000).max(1)
}
