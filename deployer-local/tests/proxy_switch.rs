//! Switching from one version to the next under load.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy_support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use deployer_local::proxy::Proxy;
use http_body_util::BodyExt;
use proxy_support::{Backend, Client, eventually, member, serve, share, start, text, within};
use tokio::task::JoinSet;

/// Clients that post one after the other until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(proxy: &Proxy, clients: usize, pause: Duration) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let (stop, done, address) = (stop.clone(), done.clone(), proxy.local_address());
            set.spawn(async move {
                let mut client = Client::new(address);
                let mut lost = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.post("payload").await {
                        Ok(reply) if reply.status.is_success() => {}
                        Ok(reply) => lost.push(format!("{}: {}", reply.status, reply.text())),
                        Err(error) => lost.push(error),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
                lost
            });
        }
        Self { stop, done, clients: set }
    }

    async fn more(&self, requests: u64) {
        let target = self.done.load(Ordering::Relaxed) + requests;
        eventually("the load goes on", || self.done.load(Ordering::Relaxed) >= target).await;
    }

    async fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let lost = within(self.clients.join_all()).await.into_iter().flatten().collect();
        (self.done.load(Ordering::Relaxed), lost)
    }
}

async fn backend() -> Backend {
    Backend::start(|request| async move {
        let _ = request.into_body().collect().await;
        // Simulates work that takes time.
        tokio::time::sleep(Duration::from_millis(5)).await;
        text("ok")
    })
    .await
}

/// Switches `times` times to a new backend; the old one exits at once, after its drain if there is one.
async fn switch_repeatedly(times: usize, drain: bool) -> (u64, Vec<String>) {
    let mut old = backend().await;
    let proxy = start(&serve(vec![share("v0", 1, &[old.address])]));
    let load = Load::start(&proxy, 16, Duration::from_millis(2));
    for round in 1..=times {
        load.more(50).await;
        let new = backend().await;
        proxy.set(&serve(vec![share(&format!("v{round}"), 1, &[new.address])])).unwrap();
        if drain {
            let leaving = [member(&format!("v{}-0", round - 1), old.address)];
            eventually("the old one is idle", || proxy.in_flight(&leaving)[0].is_idle()).await;
        }
        old.kill().await;
        old = new;
    }
    load.more(50).await;
    load.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_lose_nothing() {
    let (total, lost) = switch_repeatedly(20, true).await;
    assert!(lost.is_empty(), "{} of {total} lost: {:?}", lost.len(), lost.first());
    assert!(total > 1000, "only {total} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_drain_requests_are_lost() {
    let (total, lost) = switch_repeatedly(20, false).await;
    assert!(!lost.is_empty(), "the test above is blind: 0 of {total} lost although nothing was drained");
}

/// While connections are saturated the split goes back and forth. Once a member that left counts zero, no request
/// may reach it: each backend notes requests that come while it is out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_claimed_after_the_count_was_zero() {
    let out = [Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true))];
    let late = Arc::new(AtomicU64::new(0));
    let start_backend = |out: Arc<AtomicBool>| {
        let late = late.clone();
        Backend::start(move |request| {
            let (out, late) = (out.clone(), late.clone());
            async move {
                late.fetch_add(u64::from(out.load(Ordering::SeqCst)), Ordering::SeqCst);
                let _ = request.into_body().collect().await;
                late.fetch_add(u64::from(out.load(Ordering::SeqCst)), Ordering::SeqCst);
                text("ok")
            }
        })
    };
    let backends = [start_backend(out[0].clone()).await, start_backend(out[1].clone()).await];
    let names = ["a", "b"];
    let split = |index: usize| serve(vec![share(names[index], 1, &[backends[index].address])]);
    let proxy = start(&split(0));
    let load = Load::start(&proxy, 64, Duration::ZERO);
    // From a thread of its own, as the control of the proxy process does.
    let control = {
        let (proxy, out) = (proxy.clone(), out.clone());
        let splits = [split(0), split(1)];
        let members = [member("a-0", backends[0].address), member("b-0", backends[1].address)];
        tokio::task::spawn_blocking(move || {
            let begin = std::time::Instant::now();
            let mut swaps = 0;
            while begin.elapsed() < Duration::from_secs(3) {
                let (next, previous) = ((swaps + 1) % 2, swaps % 2);
                out[next].store(false, Ordering::SeqCst);
                proxy.set(&splits[next]).unwrap();
                let wait = std::time::Instant::now();
                while !proxy.in_flight(&members[previous..=previous])[0].is_idle() {
                    assert!(wait.elapsed() < Duration::from_secs(10), "the drain does not end");
                    std::thread::sleep(Duration::from_micros(200));
                }
                out[previous].store(true, Ordering::SeqCst);
                swaps += 1;
                // Long enough for a request that wrongly went to it to arrive.
                std::thread::sleep(Duration::from_millis(2));
            }
            swaps
        })
    };
    let swaps = within(control).await.unwrap();
    let (total, lost) = load.end().await;
    assert_eq!(late.load(Ordering::SeqCst), 0, "requests at a member that was drained, in {swaps} swaps");
    assert!(lost.is_empty(), "{} of {total} lost: {:?}", lost.len(), lost.first());
    assert!(swaps > 20 && total > 1000, "only {swaps} swaps and {total} requests");
}
