//! Waiting for conditions, never for time.

use std::{future::Future, time::Duration};

/// The output of `future`; fails the test if that takes more than 20 s.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("took more than 20 s")
}

/// Returns when `condition` holds; fails the test if that takes more than 10 s.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within 10 s: {what}");
}
