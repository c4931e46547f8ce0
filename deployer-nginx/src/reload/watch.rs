//! Hints that a switch went on.

use std::{fs, os::unix::fs::MetadataExt as _, time::Duration};

use deployer_core::{model::WorkloadId, ports::Changes};
use futures::{StreamExt as _, stream};
use tokio::time::sleep;

use crate::server::{Server, Worker};

const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What is compared: which file there is, and what the workers do.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    file: Option<(u64, i64, i64)>,
    workers: Option<Vec<Worker>>,
}

/// A hint for each change. nginx tells nobody, so this looks.
pub(super) async fn changes(server: Server, workload: WorkloadId) -> Changes {
    let first = look(&server, &workload).await;
    let state = (server, workload, first);
    stream::unfold(state, |(server, workload, mut last)| async {
        loop {
            sleep(LOOK_AGAIN).await;
            let now = look(&server, &workload).await;
            if now != last {
                last = now;
                return Some(((), (server, workload, last)));
            }
        }
    })
    .boxed()
}

async fn look(server: &Server, workload: &WorkloadId) -> Seen {
    let metadata = fs::metadata(server.paths().workload(workload)).ok();
    let workers = match server.master().await {
        Ok(master) => master.workers().ok(),
        Err(_) => None,
    };
    Seen { file: metadata.map(|metadata| (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())), workers }
}
