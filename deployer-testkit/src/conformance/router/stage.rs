//! One check of a router with a workload of its own.

use std::{collections::BTreeMap, sync::Arc};

use deployer_core::{
    error::BackendError,
    model::{
        InstanceId, Member, Proof, Route, RouterCapabilities, SetId, Share, Split, TrafficView, WorkloadId,
    },
    ports::{CallContext, TrafficRouter},
};
use tokio::time::sleep;

use super::rig::{Answer, Ask, RouterRig};
use crate::conformance::{
    check::{Check, Checked, Note, Suite, ensure, ensure_eq, not_applicable, until},
    scope,
};

/// The epoch of calls, unless a check is about epochs.
pub(super) const EPOCH: u64 = 5;

/// One check of a router with a workload of its own.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) rig: &'a dyn RouterRig,
    pub(super) router: Arc<dyn TrafficRouter>,
    pub(super) workload: WorkloadId,
}

/// Runs one check at a stage of its own, and cleans up behind it.
pub(super) async fn on<N: Note>(
    suite: &mut Suite,
    rig: &dyn RouterRig,
    check: Check,
    body: impl AsyncFnOnce(&Stage<'_>) -> Checked<N>,
) {
    let workload = scope::fresh_workload();
    let stage = Stage { rig, router: rig.router(&workload).await, workload: workload.clone() };
    suite.run(check, body(&stage)).await;
    rig.clean_up(&workload).await;
}

impl Stage<'_> {
    pub(super) fn capabilities(&self) -> RouterCapabilities {
        self.router.capabilities()
    }

    pub(super) fn context(&self) -> CallContext {
        self.at_epoch(EPOCH)
    }

    pub(super) fn at_epoch(&self, epoch: u64) -> CallContext {
        scope::context(&self.workload, epoch, self.rig.patience())
    }

    pub(super) async fn members(&self, set: &str, count: usize) -> Vec<Member> {
        let mut members = self.rig.members(&self.workload, &scope::set_id(set), count).await;
        members.sort_by(|one, other| one.instance.cmp(&other.instance));
        members
    }

    /// The answer to `apply`.
    pub(super) async fn apply(
        &self,
        context: &CallContext,
        split: &Split,
    ) -> Checked<Result<(), BackendError>> {
        scope::within("apply", self.rig.patience(), self.router.apply(context, split)).await
    }

    /// Applies a split that has to be accepted.
    pub(super) async fn shift(&self, split: &Split) -> Checked {
        scope::works("apply", self.rig.patience(), self.router.apply(&self.context(), split)).await
    }

    pub(super) async fn current(&self) -> Checked<TrafficView> {
        scope::works("current", self.rig.patience(), self.router.current(&self.context())).await
    }

    /// Applies a split and waits until the data plane follows it, as far as that can be known.
    pub(super) async fn switch(&self, split: &Split) -> Checked<TrafficView> {
        self.shift(split).await?;
        self.settled(split).await
    }

    /// Waits until the data plane follows a split that was applied, as far as that can be known.
    pub(super) async fn settled(&self, split: &Split) -> Checked<TrafficView> {
        let view = until(self.rig.patience(), "the proof that the data plane follows", async || {
            let view = self.current().await?;
            ensure_eq("split", &view.split, split)?;
            Ok(if view.proof == Proof::Pending { Err("still pending".to_owned()) } else { Ok(view) })
        })
        .await?;
        if view.proof == Proof::CannotKnow {
            sleep(self.rig.settle()).await;
        }
        Ok(view)
    }

    /// One answer, if the rig can send requests.
    pub(super) async fn ask(&self, headers: &[(&str, &str)]) -> Checked<Answer> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let ask = Ask { headers: headers.iter().map(owned).collect() };
        let answer =
            scope::within("a request", self.rig.patience(), self.rig.ask(&self.workload, &ask)).await?;
        answer.ok_or_else(|| not_applicable("the rig cannot send requests"))
    }

    /// How often each member answered so many requests; all of them have to be answered by one.
    pub(super) async fn tally(&self, requests: usize) -> Checked<BTreeMap<InstanceId, usize>> {
        let mut tally = BTreeMap::new();
        for number in 1..=requests {
            let answer = self.ask(&[]).await?;
            let right = answer.status == 200 && answer.by.is_some();
            ensure(
                right,
                || format!("request {number}: {answer:?}"),
                "every request is answered by a member",
            )?;
            *tally.entry(answer.by.expect("just looked")).or_default() += 1;
        }
        Ok(tally)
    }
}

/// How many of these requests were answered by one of these members.
pub(super) fn count(tally: &BTreeMap<InstanceId, usize>, members: &[Member]) -> usize {
    members.iter().filter_map(|member| tally.get(&member.instance)).sum()
}

pub(super) fn share(set: &str, weight: u32, members: &[Member]) -> Share {
    Share { set: scope::set_id(set), weight, members: members.to_vec() }
}

pub(super) fn serve(shares: Vec<Share>) -> Split {
    Split::Serve { shares, routes: Vec::new() }
}

pub(super) fn all_to(set: &str, members: &[Member]) -> Split {
    serve(vec![share(set, 100, members)])
}

pub(super) fn routed(shares: Vec<Share>, routes: Vec<Route>) -> Split {
    Split::Serve { shares, routes }
}

pub(super) fn set(name: &str) -> SetId {
    scope::set_id(name)
}
