//! The suite for clocks.

use std::time::Duration;

use deployer_core::ports::Clock;
use futures::future::join_all;
use tokio::task::yield_now;

use super::{
    ConformanceReport,
    check::{Check, Checked, Suite, ensure, poll_and_drop},
};

const FORWARD: Check = Check {
    name: "it-never-goes-back",
    proves: "`now` never goes back while the process lives",
    matters: "a deadline that was reached is not any more, and a duration becomes as long as the age of the world",
};

const SLEEP: Check = Check {
    name: "a-sleep-is-as-long-as-asked",
    proves: "`sleep` returns after `duration` of the time that `now` says, not before",
    matters: "a bake time ends before it is over; an engine that waits for a moment wakes before it, again and again",
};

const SIDE_BY_SIDE: Check = Check {
    name: "sleeps-do-not-add-up",
    proves: "several sleeps pass side by side",
    matters: "probes of many instances wait for each other",
};

const DROPPED: Check = Check {
    name: "a-sleep-can-be-dropped",
    proves: "a sleep can be dropped at any time",
    matters: "a wait that was given up wakes somebody else later, or never ends",
};

/// Whether a clock keeps the contract of [`Clock`]. Takes about a second of its time.
pub async fn clock(clock: &dyn Clock) -> ConformanceReport {
    let name = format!("{clock:?}");
    let name = name.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
    let mut suite = Suite::new("Clock", name, Duration::from_secs(60));
    suite.run(FORWARD, forward(clock)).await;
    suite.run(SLEEP, sleeps(clock)).await;
    suite.run(SIDE_BY_SIDE, side_by_side(clock)).await;
    suite.run(DROPPED, dropped(clock)).await;
    suite.finish()
}

async fn forward(clock: &dyn Clock) -> Checked {
    let mut last = clock.now();
    for _ in 0..1000 {
        let now = clock.now();
        ensure(now >= last, || format!("{now} after {last}"), "a later time, or the same")?;
        last = now;
        yield_now().await;
    }
    Ok(())
}

async fn sleeps(clock: &dyn Clock) -> Checked {
    for millis in [0, 1, 5, 20, 100] {
        let (begin, duration) = (clock.now(), Duration::from_millis(millis));
        clock.sleep(duration).await;
        let passed = clock.now().since(begin);
        // Timestamps are whole milliseconds: the first one may have been nearly over.
        let least = duration.saturating_sub(Duration::from_millis(1));
        ensure(passed >= least, || format!("{passed:?} passed"), format!("at least {duration:?}"))?;
    }
    Ok(())
}

async fn side_by_side(clock: &dyn Clock) -> Checked {
    let (begin, one) = (clock.now(), Duration::from_millis(100));
    join_all((0..50).map(|_| clock.sleep(one))).await;
    let passed = clock.now().since(begin);
    ensure(
        passed < one * 25,
        || format!("50 sleeps of {one:?} at once took {passed:?}"),
        format!("about {one:?}"),
    )
}

async fn dropped(clock: &dyn Clock) -> Checked {
    for polls in [0, 1] {
        poll_and_drop(clock.sleep(Duration::from_secs(3600)), polls).await;
        let begin = clock.now();
        clock.sleep(Duration::from_millis(10)).await;
        let passed = clock.now().since(begin);
        ensure(passed < Duration::from_secs(60), || format!("{passed:?}"), "the sleep that was asked for")?;
    }
    Ok(())
}
