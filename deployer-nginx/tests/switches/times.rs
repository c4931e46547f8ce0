//! How long a switch takes: from the call to the last answer of the old set on a new connection.

use std::{sync::Arc, time::Duration};

use deployer_nginx::RouterKind;
use deployer_testkit::cases::say;
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    instances::Set,
    stand::{SWITCHES, Stand},
    support::{LIMIT, get},
};

/// Clients that ask all the time, each time on a new connection.
const PROBERS: usize = 4;
/// How long nobody may hear of the old set any more before a switch counts as over.
const QUIET: Duration = Duration::from_millis(200);

/// When a set last answered.
type LastAnswers = Arc<Mutex<std::collections::HashMap<String, Instant>>>;

pub(crate) async fn live() {
    let times = measure(RouterKind::Live).await;
    let median = report("live", &times);
    assert!(median <= Duration::from_millis(20), "{times:?}");
}

pub(crate) async fn reload() {
    let times = measure(RouterKind::Reload).await;
    report("reload", &times);
    assert!(times.iter().all(|time| *time < LIMIT), "{times:?}");
}

fn report(what: &str, times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let (median, worst) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    say(&format!(
        "    {what} router, {} switches: the old set's last answer on a new connection came {:.1} ms after the call \
         (median), {:.1} ms (worst)",
        times.len(),
        median.as_secs_f64() * 1000.0,
        worst.as_secs_f64() * 1000.0
    ));
    median
}

async fn measure(kind: RouterKind) -> Vec<Duration> {
    let stand = Stand::start(kind).await;
    let sets = [Set::start("old", 2).await, Set::start("new", 2).await];
    stand.switch(&sets[1].split()).await;
    let answers = LastAnswers::default();
    let mut probers = JoinSet::new();
    for _ in 0..PROBERS {
        let (address, answers) = (stand.address, Arc::clone(&answers));
        probers.spawn(async move {
            while let Some(answer) = get(address, "/").await {
                assert_eq!(answer.status, 200, "{answer:?}");
                let set = answer.body.trim().rsplit(' ').next().unwrap().to_owned();
                answers.lock().insert(set, Instant::now());
                sleep(Duration::from_millis(1)).await;
            }
        });
    }
    let mut times = Vec::new();
    for number in 0..SWITCHES as usize {
        let (to, from) = (["old", "new"][number % 2], ["new", "old"][number % 2]);
        let split = sets[number % 2].split();
        let called = Instant::now();
        stand.switch(&split).await;
        // Somebody has heard of the new set, and nobody of the old one for a while.
        loop {
            let (last_old, last_new) = {
                let answers = answers.lock();
                (answers.get(from).copied(), answers.get(to).copied())
            };
            let last_old = last_old.filter(|at| *at > called).unwrap_or(called);
            if last_new.is_some_and(|at| at > called) && last_old.elapsed() >= QUIET {
                times.push(last_old - called);
                break;
            }
            assert!(called.elapsed() < LIMIT, "the switch does not end");
            assert!(probers.try_join_next().is_none(), "a client was not answered");
            sleep(Duration::from_millis(2)).await;
        }
    }
    times
}
