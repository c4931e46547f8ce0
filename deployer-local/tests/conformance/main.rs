//! The suites of the test kit, for processes of this host behind the embedded proxy. This program is the instances, and
//! therefore has a `main` of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod metrics;
mod processes;
mod rig;
mod router;

use std::process::ExitCode;

use deployer_testkit::{
    cases::{self, Case, say},
    conformance::{self, ConformanceReport},
};
use rig::LocalRig;

fn main() -> ExitCode {
    deployer_local::init();
    deployer_testkit::app::run_if_asked();
    let cases = [
        Case { name: "deployments_conform", run: || with(async |rig| conformance::deployment(rig).await) },
        Case { name: "the_target_conforms", run: || with(async |rig| conformance::target(rig).await) },
        Case { name: "the_router_conforms", run: || with(async |rig| conformance::router(rig).await) },
        Case {
            name: "the_metrics_conform",
            run: || with(async |rig| conformance::metrics(&metrics::rig(rig).await).await),
        },
    ];
    cases::run(&cases, 2)
}

/// Runs a suite with a helper of its own; nothing is left of it, however the suite ends.
fn with(suite: impl AsyncFnOnce(&LocalRig) -> ConformanceReport) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().canonicalize().unwrap().join("h");
    let left = processes::Leftovers(place.clone());
    runtime.block_on(async {
        let rig = LocalRig::start(&place).await;
        let report = suite(&rig).await;
        say(&report.to_string());
        report.assert();
        rig.shutdown().await;
    });
    assert_eq!(processes::marked(&left.0), [], "instances are left after the shutdown");
}
