//! Many deployments in one process, on one helper.

use deployer::engine::Deployment;
use futures::future::join_all;

use crate::{
    recipes::{Kind, app},
    stand::{Stand, ended, load},
};

const WORKLOADS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

pub(crate) async fn six_workloads_at_once(stand: &Stand) {
    let addresses = join_all(WORKLOADS.map(|workload| stand.serve_v1(workload))).await;
    let load = load(addresses[0], 200).await;
    let deployments: Vec<_> = WORKLOADS
        .iter()
        .map(|workload| stand.deployment(workload, &app("v2"), Kind::Rolling).build().unwrap())
        .collect();
    for (workload, report) in WORKLOADS.iter().zip(join_all(deployments.iter().map(Deployment::run)).await) {
        assert_eq!(report.unwrap().workloads[0].as_str(), *workload);
        stand.assert_live(workload, "v2");
    }
    let retried = stand.retried(WORKLOADS[0]).await;
    ended("one of six that are deployed at once", load, retried).await.assert_lossless();
}
