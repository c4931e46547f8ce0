//! The suite for health checks.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    model::Instance,
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};
use futures::future::join_all;
use tokio::time::{Instant, timeout};

use super::{
    ConformanceReport,
    check::{Check, Checked, Suite, ensure, failed, not_applicable, poll_and_drop},
    scope,
};

/// What kind of instance a rig is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HealthCase {
    /// It works. Every rig has one.
    Works,
    /// It answers, and does not work.
    Broken,
    /// Nobody is there: its connection is refused, its process is gone.
    Gone,
    /// It takes the probe and never answers.
    Hangs,
    /// Nothing can be found out about it: it has no address, its place cannot be reached.
    Hidden,
}

/// What the [health suite](health) needs to know of an implementation.
#[async_trait]
pub trait HealthRig: Debug + Send + Sync {
    /// The check.
    async fn check(&self) -> Arc<dyn HealthCheck>;

    /// An instance of this kind, another one with each call; `None` for what cannot be had.
    async fn instance(&self, case: HealthCase) -> Option<Instance>;

    /// The deadline of a probe that should end before.
    fn deadline(&self) -> Duration {
        Duration::from_secs(5)
    }
}

const WORKS: Check = Check {
    name: "what-works-is-ok",
    proves: "a probe of an instance that works is `Ok`, each time",
    matters: "a good release is taken back",
};

const BROKEN: Check = Check {
    name: "what-does-not-work-has-failed",
    proves: "an instance that was reached and does not do what it should is `Failed`, with what was wrong",
    matters: "a bad release goes live; without the reason nobody knows why it was taken back",
};

const GONE: Check = Check {
    name: "nobody-there-has-failed",
    proves: "an instance that listens to nobody is `Failed`",
    matters: "an instance that died keeps its requests until the target notices",
};

const HIDDEN: Check = Check {
    name: "what-cannot-be-found-out-is-unknown",
    proves: "what the check cannot find out is `Unknown`, never a failure, never ok",
    matters: "a network that is down on our side takes every instance out of rotation",
};

const HANGS: Check = Check {
    name: "the-deadline-is-kept",
    proves: "a probe of an instance that never answers ends within the deadline of the call, and is not ok",
    matters: "one instance that hangs keeps the check from looking at the others",
};

const VERY: Check = Check {
    name: "it-reaches-that-very-instance",
    proves: "a probe is about exactly the instance that it is given, also when several are probed at once",
    matters: "an instance that works vouches for one that does not",
};

const DROPPED: Check = Check {
    name: "a-probe-can-be-dropped",
    proves: "a probe has no effect and can be dropped at any time",
    matters: "a probe that is given up disturbs the instance, or those after it",
};

/// Whether a health check keeps the contract of [`HealthCheck`].
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use deployer_core::{checks::check_fn, model::Instance, ports::HealthCheck, strategy::Probe};
/// use deployer_testkit::conformance::{self, HealthCase, HealthRig};
///
/// #[derive(Debug)]
/// struct Rig;
///
/// #[async_trait]
/// impl HealthRig for Rig {
///     async fn check(&self) -> Arc<dyn HealthCheck> {
///         Arc::new(check_fn("never restarted", |_context, instance| async move {
///             match instance.restarts {
///                 0 => Probe::Ok,
///                 count => Probe::Failed { why: format!("restarted {count} times") },
///             }
///         }))
///     }
///
///     async fn instance(&self, case: HealthCase) -> Option<Instance> {
///         let restarts = match case {
///             HealthCase::Works => 0,
///             HealthCase::Broken => 3,
///             _ => return None,
///         };
///         Some(Instance { restarts, ..conformance::instance("web-1", None) })
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// conformance::health(&Rig).await.assert();
/// # });
/// ```
pub async fn health(rig: &dyn HealthRig) -> ConformanceReport {
    let check = rig.check().await;
    let mut suite = Suite::new("HealthCheck", check.describe(), rig.deadline() * 10);
    suite.run(WORKS, works(rig, &*check)).await;
    suite.run(BROKEN, has_failed(rig, &*check, HealthCase::Broken)).await;
    suite.run(GONE, has_failed(rig, &*check, HealthCase::Gone)).await;
    suite.run(HIDDEN, hidden(rig, &*check)).await;
    suite.run(HANGS, hangs(rig, &*check)).await;
    suite.run(VERY, very(rig, &*check)).await;
    suite.run(DROPPED, dropped(rig, &*check)).await;
    suite.finish()
}

fn context(deadline: Duration) -> CallContext {
    scope::context(&scope::fresh_workload(), 1, deadline)
}

async fn one(rig: &dyn HealthRig, case: HealthCase) -> Checked<Instance> {
    let none = || not_applicable(format!("the rig has no instance of kind {case:?}"));
    rig.instance(case).await.ok_or_else(none)
}

/// What a probe said, which has to come within its deadline.
async fn probed(check: &dyn HealthCheck, deadline: Duration, instance: &Instance) -> Checked<Probe> {
    // Half as long again: the machine may be busy with other things.
    let limit = deadline.mul_f64(1.5) + Duration::from_millis(200);
    let late = |_| failed(format!("no answer within {limit:?}"), format!("an answer within {deadline:?}"));
    timeout(limit, check.probe(&context(deadline), instance)).await.map_err(late)
}

async fn works(rig: &dyn HealthRig, check: &dyn HealthCheck) -> Checked {
    let instance = one(rig, HealthCase::Works).await?;
    let described = check.describe();
    ensure(!described.trim().is_empty(), || "an empty description", "what it checks, in words")?;
    for _ in 0..3 {
        let probe = probed(check, rig.deadline(), &instance).await?;
        ensure(probe == Probe::Ok, || format!("{probe:?}"), "`Ok`")?;
    }
    Ok(())
}

async fn has_failed(rig: &dyn HealthRig, check: &dyn HealthCheck, case: HealthCase) -> Checked {
    let instance = one(rig, case).await?;
    for _ in 0..2 {
        let probe = probed(check, rig.deadline(), &instance).await?;
        let right = matches!(&probe, Probe::Failed { why } if !why.trim().is_empty());
        ensure(right, || format!("{probe:?}"), "`Failed`, with what was wrong")?;
    }
    Ok(())
}

async fn hidden(rig: &dyn HealthRig, check: &dyn HealthCheck) -> Checked {
    let instance = one(rig, HealthCase::Hidden).await?;
    let probe = probed(check, rig.deadline(), &instance).await?;
    let right = matches!(&probe, Probe::Unknown { why } if !why.trim().is_empty());
    ensure(right, || format!("{probe:?}"), "`Unknown`, with the reason")
}

async fn hangs(rig: &dyn HealthRig, check: &dyn HealthCheck) -> Checked<String> {
    let instance = one(rig, HealthCase::Hangs).await?;
    let deadline = Duration::from_millis(300);
    let begin = Instant::now();
    let probe = probed(check, deadline, &instance).await?;
    ensure(probe != Probe::Ok, || "`Ok`", "`Failed` or `Unknown`")?;
    Ok(format!("ended after {:?} of {deadline:?}", begin.elapsed()))
}

async fn very(rig: &dyn HealthRig, check: &dyn HealthCheck) -> Checked {
    let good = one(rig, HealthCase::Works).await?;
    let bad = match rig.instance(HealthCase::Broken).await {
        Some(bad) => bad,
        None => one(rig, HealthCase::Gone).await?,
    };
    let all: Vec<_> = (0..8).map(|number| if number % 2 == 0 { &good } else { &bad }).collect();
    let probes = join_all(all.iter().map(|instance| probed(check, rig.deadline(), instance))).await;
    for (number, (instance, probe)) in all.iter().zip(probes).enumerate() {
        let (probe, should_work) = (probe?, number % 2 == 0);
        let seen = || format!("{probe:?} of {}", instance.id);
        ensure((probe == Probe::Ok) == should_work, seen, format!("each its own: {} works", good.id))?;
    }
    Ok(())
}

async fn dropped(rig: &dyn HealthRig, check: &dyn HealthCheck) -> Checked {
    let instance = one(rig, HealthCase::Works).await?;
    for polls in [0, 1, 2, 3, 5] {
        poll_and_drop(check.probe(&context(rig.deadline()), &instance), polls).await;
        let probe = probed(check, rig.deadline(), &instance).await?;
        ensure(probe == Probe::Ok, || format!("{probe:?} after a dropped probe"), "`Ok`")?;
    }
    Ok(())
}
