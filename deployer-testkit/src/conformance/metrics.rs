//! The suite for metric sources.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    model::{SetId, WorkloadId},
    ports::{Counts, MetricSource},
};

use super::{
    ConformanceReport,
    check::{Check, Checked, Suite, ensure, failed, not_applicable, until},
    scope,
};

/// Longer than any test: counts of everything.
const ALWAYS: Duration = Duration::from_secs(24 * 60 * 60);

/// What the [metrics suite](metrics) needs to know of an implementation.
#[async_trait]
pub trait MetricRig: Debug + Send + Sync {
    /// The source.
    async fn source(&self) -> Arc<dyn MetricSource>;

    /// A workload and a set of it that has been sent requests, lately and for as long as the suite runs.
    async fn served(&self) -> (WorkloadId, SetId);

    /// Sends so many more requests to that set, so many of them answered with an error. Whether it could be done.
    async fn send(&self, good: u64, bad: u64) -> bool {
        let _ = (good, bad);
        false
    }

    /// A source as this one that cannot reach what it asks; `None` if there is nothing to reach.
    async fn unreachable(&self) -> Option<Arc<dyn MetricSource>> {
        None
    }

    /// How long requests may take until they are counted. Also the deadline of each call.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}

const COUNTS: Check = Check {
    name: "counts-make-sense",
    proves: "`bad` is a part of `total`; the 99th percentile is there exactly if there were requests",
    matters: "an error rate above one, or a latency of nobody, is decided on",
};

const GROW: Check = Check {
    name: "counts-never-shrink",
    proves: "over an interval that reaches back to the beginning counts only grow",
    matters: "requests that failed are forgotten before anybody looked",
};

const EXACT: Check = Check {
    name: "requests-are-counted-where-they-belong",
    proves: "requests and errors are counted, each once",
    matters: "an error rate that is off by a factor passes a bad release",
};

const SHORTER: Check = Check {
    name: "a-shorter-interval-has-no-more",
    proves: "counts are over the last `interval`, at most",
    matters: "errors from before the rollout are held against the new release",
};

const STRANGER: Check = Check {
    name: "no-data-is-not-zero",
    proves: "a set that the source knows nothing of is an error, not zero requests",
    matters: "a gate passes because a name was misspelt",
};

const UNREACHABLE: Check = Check {
    name: "a-failed-scrape-is-an-error",
    proves: "a source that could not be asked fails; that is not the same as zero requests",
    matters: "a gate passes because the metrics were down",
};

/// Whether a metric source keeps the contract of [`MetricSource`]. A [`MetricRig`] for the fake world is a page: see
/// the tests of this crate.
pub async fn metrics(rig: &dyn MetricRig) -> ConformanceReport {
    let source = rig.source().await;
    let name = format!("{source:?}");
    let limit = rig.patience() * 6;
    let mut suite = Suite::new("MetricSource", name.split(['(', ' ', '{']).next().unwrap_or_default(), limit);
    suite.run(COUNTS, sense(rig, &*source)).await;
    suite.run(GROW, grow(rig, &*source)).await;
    suite.run(EXACT, exact(rig, &*source)).await;
    suite.run(SHORTER, shorter(rig, &*source)).await;
    suite.run(STRANGER, stranger(rig, &*source)).await;
    suite.run(UNREACHABLE, unreachable(rig)).await;
    suite.finish()
}

async fn counted(rig: &dyn MetricRig, source: &dyn MetricSource, interval: Duration) -> Checked<Counts> {
    let (workload, set) = rig.served().await;
    let context = scope::context(&workload, 1, rig.patience());
    scope::works("counts", rig.patience(), source.counts(&context, &set, interval)).await
}

async fn sense(rig: &dyn MetricRig, source: &dyn MetricSource) -> Checked {
    for interval in [ALWAYS, Duration::from_secs(10), Duration::from_secs(1)] {
        let counts = counted(rig, source, interval).await?;
        let right = counts.bad <= counts.total && counts.p99_micros.is_some() == (counts.total > 0);
        ensure(
            right,
            || format!("{counts:?}"),
            "no more bad ones than all, and a percentile of those there were",
        )?;
    }
    let counts = counted(rig, source, ALWAYS).await?;
    ensure(counts.total > 0, || format!("{counts:?}"), "the requests that the rig says were sent")
}

async fn grow(rig: &dyn MetricRig, source: &dyn MetricSource) -> Checked {
    let mut last = counted(rig, source, ALWAYS).await?;
    for _ in 0..5 {
        rig.send(2, 1).await;
        let now = counted(rig, source, ALWAYS).await?;
        let grew = now.total >= last.total && now.bad >= last.bad;
        ensure(grew, || format!("{now:?} after {last:?}"), "counts that grow")?;
        last = now;
    }
    Ok(())
}

async fn exact(rig: &dyn MetricRig, source: &dyn MetricSource) -> Checked {
    let before = counted(rig, source, ALWAYS).await?;
    if !rig.send(30, 12).await {
        return Err(not_applicable("the rig cannot send requests"));
    }
    let wanted = (before.total + 42, before.bad + 12);
    until(rig.patience(), &format!("{} requests, {} of them bad", wanted.0, wanted.1), async || {
        let now = counted(rig, source, ALWAYS).await?;
        Ok(if (now.total, now.bad) == wanted { Ok(()) } else { Err(format!("{now:?} after {before:?}")) })
    })
    .await
}

async fn shorter(rig: &dyn MetricRig, source: &dyn MetricSource) -> Checked {
    // The shorter one first: what is sent meanwhile can only make the longer one larger.
    for interval in [Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(60)] {
        let short = counted(rig, source, interval).await?;
        let long = counted(rig, source, ALWAYS).await?;
        let right = short.total <= long.total && short.bad <= long.bad;
        ensure(
            right,
            || format!("{short:?} in {interval:?}, {long:?} ever"),
            "no more in a shorter interval",
        )?;
    }
    Ok(())
}

async fn stranger(rig: &dyn MetricRig, source: &dyn MetricSource) -> Checked {
    let (workload, _) = rig.served().await;
    let context = scope::context(&workload, 1, rig.patience());
    let set = scope::set_id("nobody-knows-me");
    match scope::within("counts", rig.patience(), source.counts(&context, &set, ALWAYS)).await? {
        Err(_) => Ok(()),
        Ok(counts) => Err(failed(format!("{counts:?} of a set that does not exist"), "an error")),
    }
}

async fn unreachable(rig: &dyn MetricRig) -> Checked {
    let Some(source) = rig.unreachable().await else {
        return Err(not_applicable("the rig has no source that cannot be reached"));
    };
    let (workload, set) = rig.served().await;
    let context = scope::context(&workload, 1, rig.patience());
    match scope::within("counts", rig.patience(), source.counts(&context, &set, ALWAYS)).await? {
        Err(_) => Ok(()),
        Ok(counts) => Err(failed(format!("{counts:?} from a source that cannot be reached"), "an error")),
    }
}
