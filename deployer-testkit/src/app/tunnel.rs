//! A connection that stops being HTTP: what comes in goes out again.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{copy, split};

/// Sends back what comes in until the other side ends.
pub(super) async fn echo(upgrade: OnUpgrade) {
    let Ok(connection) = upgrade.await else { return };
    let (mut from, mut to) = split(TokioIo::new(connection));
    // Either side may tear it; that is how tunnels end.
    let _ = copy(&mut from, &mut to).await;
    let _ = tokio::io::AsyncWriteExt::shutdown(&mut to).await;
}
