//! The deployer that is killed.

use std::{
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use deployer_core::model::{Split, WorkloadId};
use deployer_nginx::{NginxSettings, Server};
use serde::{Deserialize, Serialize};

use crate::support::{context, proven};

const ASKED: &str = "DEPLOYER_TEST_SWITCH";

/// What it is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) settings: NginxSettings,
    pub(crate) workload: WorkloadId,
    pub(crate) epoch: u64,
    pub(crate) split: Split,
}

impl Order {
    /// This program once more, as that deployer.
    pub(crate) fn start(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .env(ASKED, serde_json::to_string(self).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

/// The life of that deployer: one switch, and its proof.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let order: Order = serde_json::from_str(&std::env::var(ASKED).ok()?).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let switched = runtime.block_on(async {
        let server = Server::find(order.settings).await.unwrap();
        let router = server.router(order.workload.clone());
        let context = context(&order.workload, order.epoch);
        let switched = router.apply(&context, &order.split).await.is_ok();
        if switched {
            proven(&*router, &context, &order.split).await;
        }
        switched
    });
    runtime.shutdown_timeout(Duration::ZERO);
    Some(if switched { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
