//! A program that is its own helper, with `init` inside of an async `main`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use deployer_core::{
    model::{PinnedRelease, ReleaseId},
    ports::Target as _,
};
use deployer_local::{LocalHost, LocalSettings, OnShutdown};
use support::{LIMIT, context, size, sleeper};

#[tokio::main]
async fn main() {
    deployer_local::init();
    // Everything after `init` must never run in a helper.
    assert!(!std::env::args().any(|argument| argument == "deployer-local-helper"));
    let parent = tempfile::tempdir().unwrap();
    let host = LocalHost::start(LocalSettings::new(parent.path().join("d"))).await.unwrap();
    let target = host.target();
    let release = sleeper().release(ReleaseId::new("v1").unwrap());
    let artifact = target.prepare(&context(1), &release).await.unwrap();
    let pinned = PinnedRelease { release, artifact };
    target.apply(&context(1), &pinned, &size(&pinned.release, 2, &[])).await.unwrap();
    let before = target.observe(&context(1)).await.unwrap();
    assert_eq!(before.sets[0].instances.len(), 2);

    let helper = host.helper().await.unwrap();
    assert_ne!(helper, std::process::id());
    let status = std::fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
    let parent_of_helper = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    assert_ne!(parent_of_helper, std::process::id().to_string(), "the helper is nobody's child");
    support::kill(helper);
    let socket = host.directory().join("socket");
    support::until("the helper is dead", || std::os::unix::net::UnixStream::connect(&socket).is_err()).await;
    assert_eq!(target.observe(&context(1)).await.unwrap(), before);

    host.shutdown(OnShutdown::StopInstances, LIMIT).await.unwrap();
    let state = std::fs::read_to_string(host.directory().join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(support::marked(state["host"].as_str().unwrap()), []);
}
