//! All checks of whole deployments.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    recipe::{Kind, Mode},
    rig::DeploymentRig,
    run::{Ended, with_v1},
};
use crate::{
    conformance::{
        ConformanceReport, ReleaseKind,
        check::{Check, Checked, Stop, Suite, ensure, failed, not_applicable},
        scope,
    },
    inject::{AtCall, EachTwice, Injector},
};

const GOES_LIVE: &str =
    "a good release takes the place of the one before, whole and alone, whatever strategy does it";
const TAKEN_BACK: &str = "a release that ends at once is taken back, and the one before is whole and alone";
const TWICE: &str =
    "every call of target and router may be made twice, and the deployment ends as it would have";
const FAILED: &str =
    "any one call of target and router may fail, and the deployment ends well or is taken back whole";
const LOST: &str = "any one answer may be lost, and the deployment ends well or is taken back whole";

const NO_UPDATE: &str = "nothing can be deployed with this strategy on this backend";
const OUTAGE: &str = "a bad release takes the service down, and stays";
const LEFTOVERS: &str = "in a real deployment one call in some thousands goes wrong: instances are left behind, or a \
                         person has to clear up by hand";

/// Whether whole deployments by the production engine end well on a backend, whatever becomes of single calls: each
/// made twice, each in turn failed, each answer in turn lost, until there is no further call. From v1 live to v2, with
/// every strategy that the capabilities allow.
///
/// The rig is a [`TargetRig`](super::super::TargetRig) that has a router as well; see [`DeploymentRig`].
pub async fn deployment(rig: &dyn DeploymentRig) -> ConformanceReport {
    let workload = scope::fresh_workload();
    let target = rig.target(&workload).await;
    let router = rig.router(&workload).await;
    let name = router.as_ref().map_or_else(
        || target.name().to_owned(),
        |router| format!("{} behind {}", target.name(), router.name()),
    );
    let limit = rig.budget() * 3 + (rig.patience() + target.capabilities().stop_grace) * 12;
    let mut suite = Suite::new("Deployment", name, limit);
    let capabilities = router.as_ref().map(|router| router.capabilities());
    for kind in Kind::ALL {
        let refusal = kind.refusal(&target.capabilities(), capabilities.as_ref());
        checks(&mut suite, rig, kind, refusal.as_deref()).await;
    }
    suite.finish()
}

async fn checks(suite: &mut Suite, rig: &dyn DeploymentRig, kind: Kind, refusal: Option<&str>) {
    let [live, back, twice, fails, loses] = names(kind);
    let check = |name, proves, matters| Check { name, proves, matters };
    let may = || refusal.map_or(Ok(()), |why| Err(not_applicable(why)));
    suite
        .run(check(live, GOES_LIVE, NO_UPDATE), async {
            may()?;
            undisturbed(rig, kind).await
        })
        .await;
    suite
        .run(check(back, TAKEN_BACK, OUTAGE), async {
            may()?;
            taken_back(rig, kind).await
        })
        .await;
    suite
        .run(check(twice, TWICE, LEFTOVERS), async {
            may()?;
            each_twice(rig, kind).await
        })
        .await;
    for (name, proves, mode) in [(fails, FAILED, Mode::Failed), (loses, LOST, Mode::Lost)] {
        suite
            .run(check(name, proves, LEFTOVERS), async {
                may()?;
                each_call(rig, kind, mode).await
            })
            .await;
    }
}

fn names(kind: Kind) -> [&'static str; 5] {
    match kind {
        Kind::Rolling => [
            "rolling-goes-live",
            "rolling-takes-back",
            "rolling-with-each-call-twice",
            "rolling-with-each-call-failed",
            "rolling-with-each-answer-lost",
        ],
        Kind::BlueGreen => [
            "blue-green-goes-live",
            "blue-green-takes-back",
            "blue-green-with-each-call-twice",
            "blue-green-with-each-call-failed",
            "blue-green-with-each-answer-lost",
        ],
        Kind::Recreate => [
            "recreate-goes-live",
            "recreate-takes-back",
            "recreate-with-each-call-twice",
            "recreate-with-each-call-failed",
            "recreate-with-each-answer-lost",
        ],
        Kind::Delegated => [
            "delegated-goes-live",
            "delegated-takes-back",
            "delegated-with-each-call-twice",
            "delegated-with-each-call-failed",
            "delegated-with-each-answer-lost",
        ],
    }
}

/// Deploys v2 with this injector, and sees that the world is as its end says.
async fn to_v2(rig: &dyn DeploymentRig, kind: Kind, injector: &Arc<dyn Injector>) -> Checked<Ended> {
    with_v1(rig, kind, async |bench| {
        let ended = bench.deploy("v2", ReleaseKind::OtherGood, injector).await?;
        bench.holds_after(ended).await?;
        Ok(ended)
    })
    .await
}

fn succeeded(ended: Ended) -> Checked {
    ensure(ended == Ended::Succeeded, || "it was taken back", "the release goes live")
}

async fn undisturbed(rig: &dyn DeploymentRig, kind: Kind) -> Checked {
    let injector: Arc<dyn Injector> = Arc::new(crate::inject::Harmless);
    succeeded(to_v2(rig, kind, &injector).await?)
}

async fn each_twice(rig: &dyn DeploymentRig, kind: Kind) -> Checked {
    let injector: Arc<dyn Injector> = Arc::new(EachTwice);
    succeeded(to_v2(rig, kind, &injector).await?)
}

async fn taken_back(rig: &dyn DeploymentRig, kind: Kind) -> Checked {
    with_v1(rig, kind, async |bench| {
        let injector: Arc<dyn Injector> = Arc::new(crate::inject::Harmless);
        let ended = bench.deploy("v2", ReleaseKind::ExitsAtOnce, &injector).await?;
        ensure(ended == Ended::Back, || "it went live", "a release that ends at once is taken back")?;
        bench.holds("v1").await
    })
    .await
}

/// Lets each call in turn go wrong, or every second one and so on, as far as the budget reaches.
async fn each_call(rig: &dyn DeploymentRig, kind: Kind, mode: Mode) -> Checked<String> {
    let begin = Instant::now();
    let calls = count_calls(rig, kind).await?;
    let stride = stride_for(begin.elapsed(), calls, rig.budget());
    let (before, after) = mode.at_call();
    let (mut number, mut runs, mut back) = (1_u64, 0_u64, 0_u64);
    let mut used_up = false;
    while !used_up {
        let plan = Arc::new(AtCall::new(number, before, after));
        let injector: Arc<dyn Injector> = plan.clone();
        let ended = to_v2(rig, kind, &injector).await.map_err(|stop| at(stop, &plan))?;
        if plan.reached().is_none() {
            succeeded(ended)?;
            break;
        }
        runs += 1;
        back += u64::from(ended == Ended::Back);
        number += stride;
        // Twice the budget: the calls of two runs are never quite the same.
        used_up = begin.elapsed() > rig.budget() * 2;
    }
    let which = if stride == 1 { "all calls".to_owned() } else { format!("one call of {stride}") };
    let until = if used_up { format!(", up to call {number} of about {calls}") } else { String::new() };
    Ok(format!("{which}{until}: {runs} went wrong one by one, {back} of the deployments went back"))
}

/// How many calls an undisturbed deployment makes.
async fn count_calls(rig: &dyn DeploymentRig, kind: Kind) -> Checked<u64> {
    let (before, after) = Mode::Failed.at_call();
    let plan = Arc::new(AtCall::new(u64::MAX, before, after));
    let injector: Arc<dyn Injector> = plan.clone();
    succeeded(to_v2(rig, kind, &injector).await?)?;
    Ok(plan.calls())
}

/// How many calls to go on by so that the budget reaches for all.
fn stride_for(one: Duration, calls: u64, budget: Duration) -> u64 {
    let needed = one.as_millis() * u128::from(calls);
    u64::try_from(needed.div_ceil(budget.as_millis().max(1))).unwrap_or(u64::MAX).max(1)
}

/// With the call that went wrong.
fn at(stop: Stop, plan: &AtCall) -> Stop {
    match (stop, plan.reached()) {
        (Stop::Failed { seen, expected }, Some(call)) => {
            failed(format!("after {call} went wrong: {seen}"), expected)
        }
        (stop, _) => stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_budget_takes_larger_steps() {
        let second = Duration::from_secs(1);
        assert_eq!(stride_for(second, 60, Duration::from_secs(60)), 1);
        assert_eq!(stride_for(second, 61, Duration::from_secs(60)), 2);
        assert_eq!(stride_for(second, 600, Duration::from_secs(60)), 10);
        assert_eq!(stride_for(Duration::ZERO, 600, Duration::ZERO), 1);
    }
}
