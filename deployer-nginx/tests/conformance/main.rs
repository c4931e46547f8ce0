//! The suite that every traffic router passes, over a real nginx.

#[path = "../support/mod.rs"]
mod support;

mod rig;

use deployer_nginx::{NginxSettings, Weighting};
use deployer_testkit::conformance;
use rig::ReloadRig;

async fn passes(nginx: NginxSettings) {
    support::nginx();
    let rig = ReloadRig::start(nginx).await;
    conformance::router(&rig).await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_with_weighted_upstreams() {
    passes(NginxSettings { buffering: false, ..NginxSettings::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_with_split_clients() {
    passes(NginxSettings {
        weighting: Weighting::SplitClients,
        keepalive: 0,
        buffering: false,
        ..NginxSettings::default()
    })
    .await;
}
